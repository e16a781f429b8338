/** What a test may choose of its Slurm. */
export interface SlurmOptions {
  /** How many nodes are pretended; each is a slurmd of its own. Default 4. */
  readonly nodes?: number
  /** Processors that each node claims. Default 16. */
  readonly cpusPerNode?: number
  /** Memory that each node claims, in MB. Default 20,000. */
  readonly memoryMegabytesPerNode?: number
  /** slurmdbd with its database, so that `sacct` answers. Default: no accounting. */
  readonly accounting?: boolean
  /** slurmrestd on a TCP port, with tokens. */
  readonly restd?: boolean
  /** Seconds after which ended jobs are forgotten. Default 300. */
  readonly minJobAge?: number
  /** Seconds of silence after which a node counts as lost. Default 20. */
  readonly slurmdTimeout?: number
  /** How memory is watched: by a look each second, or by the kernel, which alone gives OUT_OF_MEMORY. Default `poll`. */
  readonly memoryLimit?: 'poll' | 'cgroup'
  /** Further lines of slurm.conf, such as another partition. A parameter that stands above cannot be set again. */
  readonly configuration?: readonly string[]
}

/** Where one Slurm lies: its state directory, ports in a row, and the name of this machine. */
export interface SlurmPlace {
  readonly directory: string
  readonly firstPort: number
  readonly hostName: string
}

/** Ports of the parts, by their distance from the first one. */
export const portOffsets = { controller: 0, accounting: 1, database: 2, rest: 3, nodes: 8 } as const

/** Jobs begin within about a second, and a thousand of them within half a minute. */
const schedulerParameters = [
  'batch_sched_delay=0',
  'sched_interval=1',
  'sched_min_interval=0',
  'bf_interval=1',
  'bf_min_age_reserve=0',
  'bf_yield_interval=100000',
  'default_queue_depth=10000',
  'partition_job_depth=0',
]

/** The text of slurm.conf (slurm.conf(5), 22.05). */
export function slurmConfiguration(place: SlurmPlace, options: SlurmOptions): string {
  const { directory, firstPort, hostName } = place
  const { nodes = 4, cpusPerNode = 16, memoryMegabytesPerNode = 20_000, configuration = [] } = options
  const { minJobAge = 300, slurmdTimeout = 20 } = options
  const firstNodePort = firstPort + portOffsets.nodes
  return [
    'ClusterName=test',
    `SlurmctldHost=${hostName}(127.0.0.1)`,
    `SlurmctldPort=${firstPort + portOffsets.controller}`,
    'SlurmUser=root',
    'SlurmdUser=root',
    // nothing listens beyond 127.0.0.1
    'CommunicationParameters=NoCtldInAddrAny,NoInAddrAny',
    'AuthType=auth/munge',
    `AuthInfo=socket=${directory}/munge.socket,cred_expire=10`,
    'CredType=cred/munge',
    'AuthAltTypes=auth/jwt',
    `AuthAltParameters=jwt_key=${directory}/jwt.key`,
    `StateSaveLocation=${directory}/state`,
    `SlurmdSpoolDir=${directory}/spool/%n`,
    `SlurmctldPidFile=${directory}/slurmctld.pid`,
    `SlurmdPidFile=${directory}/slurmd-%n.pid`,
    `SlurmctldLogFile=${directory}/slurmctld.log`,
    `SlurmdLogFile=${directory}/slurmd-%n.log`,
    'SlurmctldDebug=info',
    'SlurmdDebug=info',
    ...watching(options),
    ...accounting(place, options),
    'JobAcctGatherFrequency=task=1',
    'MpiDefault=none',
    'SwitchType=switch/none',
    // nodes may claim more than the machine has
    'SlurmdParameters=config_overrides',
    'ReturnToService=2',
    `SlurmdTimeout=${slurmdTimeout}`,
    'SlurmctldTimeout=30',
    'InactiveLimit=0',
    'KillWait=2',
    'Waittime=0',
    'MessageTimeout=10',
    'BatchStartTimeout=10',
    'OverTimeLimit=0',
    `MinJobAge=${minJobAge}`,
    'MaxJobCount=20000',
    'MaxArraySize=10001',
    'SchedulerType=sched/backfill',
    `SchedulerParameters=${schedulerParameters.join(',')}`,
    'SelectType=select/cons_tres',
    'SelectTypeParameters=CR_CPU_Memory',
    // A process of Node takes 100 MB.
    'DefMemPerCPU=250',
    // what can never run is refused at once
    'EnforcePartLimits=ALL',
    'TreeWidth=50',
    `NodeName=DEFAULT CPUs=${cpusPerNode} RealMemory=${memoryMegabytesPerNode} State=UNKNOWN`,
    `NodeName=n[1-${nodes}] NodeHostname=${hostName} NodeAddr=127.0.0.1 Port=[${firstNodePort}-${firstNodePort + nodes - 1}]`,
    'PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO',
    'PartitionName=short Nodes=n1 MaxTime=1 State=UP',
    'PartitionName=down Nodes=ALL State=DOWN',
    ...configuration,
    '',
  ].join('\n')
}

/** The text of cgroup.conf (cgroup.conf(5)), for `memoryLimit: 'cgroup'`. */
export const cgroupConfiguration = [
  'CgroupPlugin=cgroup/v1',
  'CgroupMountpoint=/sys/fs/cgroup',
  'CgroupAutomount=no',
  'ConstrainCores=no',
  'ConstrainRAMSpace=yes',
  'ConstrainSwapSpace=yes',
  'AllowedSwapSpace=0',
  '',
].join('\n')

/** The text of slurmdbd.conf (slurmdbd.conf(5)). */
export function accountingConfiguration({ directory, firstPort, hostName }: SlurmPlace): string {
  return [
    'AuthType=auth/munge',
    `AuthInfo=socket=${directory}/munge.socket`,
    'AuthAltTypes=auth/jwt',
    `AuthAltParameters=jwt_key=${directory}/jwt.key`,
    `DbdHost=${hostName}`,
    'DbdAddr=127.0.0.1',
    `DbdPort=${firstPort + portOffsets.accounting}`,
    'CommunicationParameters=NoInAddrAny',
    'SlurmUser=root',
    'DebugLevel=info',
    `LogFile=${directory}/slurmdbd.log`,
    `PidFile=${directory}/slurmdbd.pid`,
    'StorageType=accounting_storage/mysql',
    'StorageHost=127.0.0.1',
    `StoragePort=${firstPort + portOffsets.database}`,
    'StorageUser=slurm',
    'StoragePass=test',
    'StorageLoc=slurm_acct_db',
    '',
  ].join('\n')
}

function watching({ memoryLimit = 'poll' }: SlurmOptions): readonly string[] {
  return memoryLimit === 'cgroup'
    ? ['ProctrackType=proctrack/cgroup', 'TaskPlugin=task/cgroup', 'JobAcctGatherType=jobacct_gather/cgroup']
    : [
        'ProctrackType=proctrack/linuxproc',
        'TaskPlugin=task/none',
        'JobAcctGatherType=jobacct_gather/linux',
        'JobAcctGatherParams=OverMemoryKill',
      ]
}

function accounting({ directory, firstPort }: SlurmPlace, options: SlurmOptions): readonly string[] {
  if (options.accounting !== true)
    return [
      'AccountingStorageType=accounting_storage/none',
      'JobCompType=jobcomp/filetxt',
      `JobCompLoc=${directory}/jobcomp.txt`,
    ]
  return [
    'AccountingStorageType=accounting_storage/slurmdbd',
    'AccountingStorageHost=127.0.0.1',
    `AccountingStoragePort=${firstPort + portOffsets.accounting}`,
    // munge's socket: AuthInfo does not count for slurmdbd
    `AccountingStoragePass=${directory}/munge.socket`,
    'AccountingStorageUser=root',
    'JobCompType=jobcomp/none',
  ]
}

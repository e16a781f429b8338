import { glob, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startSlurm, type Slurm, type SlurmOptions } from './slurm.ts'

/** The tree that `scripts/install-services` unpacks. */
export const torqueTree = '/var/cache/molehill/torque'

/**
 * A Slurm whose `variables` lead to Torque's commands too: qsub, qstat, qdel as the package slurm-wlm-torque has them.
 * They print as Torque does, with gaps: no exit status in `qstat -f`, numbers without a server's name, `#PBS -o` and `-j`
 * ignored, no script on standard input. In jobs PBS_JOBID and the like are set.
 */
export async function startTorque(options: SlurmOptions = {}): Promise<Slurm> {
  const slurm = await startSlurm(options)
  try {
    const libraries = await find(`${torqueTree}/usr/lib/*/libslurm.so.38`, '/libslurm.so.38')
    const modules = await find(`${torqueTree}/usr/lib/*/perl5/*/Slurm.pm`, '/Slurm.pm')
    const plugin = await find('/usr/lib/*/slurm-wlm/spank_pbs.so', '')
    await writeFile(join(slurm.directory, 'plugstack.conf'), `optional ${plugin}\n`)
    const variables = {
      ...slurm.variables,
      PERL5LIB: `${torqueTree}/usr/share/perl5:${modules}`,
      LD_LIBRARY_PATH: libraries,
      PATH: `${torqueTree}/usr/bin:/usr/local/bin:/usr/bin:/bin`,
    }
    return { ...slurm, variables }
  } catch (error) {
    await slurm.stop()
    throw error
  }
}

/** The file that fits the pattern, without `end`. */
async function find(pattern: string, end: string): Promise<string> {
  for await (const file of glob(pattern)) return file.slice(0, file.length - end.length)
  throw new Error(`nothing fits ${pattern}: run scripts/install-services`)
}

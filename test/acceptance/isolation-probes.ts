/** What code of a user may try. Everything it finds is a leak. Runs as text, in a script or in a function. */
export interface ProbeTargets {
  readonly dataDirectory: string
  readonly homeDirectory: string
  readonly pid: number
  readonly port: number
  readonly socketName: string
  readonly secret: string
  /** `NAME=value` that the server was started with. */
  readonly startVariable: string
  readonly otherExecution: string
}

/** JavaScript that leaves `{ probe: 'leak' | reason }` in `found`. Uses top-level await or an async function. */
export function probesInJavaScript(targets: ProbeTargets): string {
  return `
    const targets = ${JSON.stringify(targets)}
    const fs = await import('node:fs')
    const net = await import('node:net')
    const found = {}
    const probe = (name, look) => {
      try { found[name] = look() ? 'leak' : 'nothing' } catch (error) { found[name] = error.code ?? String(error) }
    }
    const connect = (name, options) => new Promise((resolve) => {
      const end = (word) => { found[name] = word; resolve() }
      try {
        const socket = net.connect(options)
        socket.on('connect', () => { socket.destroy(); end('leak') })
        socket.on('error', (error) => end(error.code))
      } catch (error) { end(error.code ?? String(error)) }
    })
    const data = targets.dataDirectory
    for (const file of ['preferences.json', 'molehill.db', 'tls/key.pem', 'executions/' + targets.otherExecution + '/work/private.txt'])
      probe('read ' + file.split('/').at(-1), () => fs.readFileSync(data + '/' + file).length > 0)
    probe('list executions', () => fs.readdirSync(data + '/executions').includes(targets.otherExecution))
    probe('read own environment', () => JSON.stringify(process.env).includes(targets.secret))
    for (const pid of [targets.pid, 1, 'self', process.ppid]) {
      probe('read environment of ' + (pid === targets.pid ? 'server' : pid === process.ppid ? 'parent' : pid), () => fs.readFileSync('/proc/' + pid + '/environ', 'utf8').includes(targets.startVariable))
    }
    probe('open memory of server', () => fs.readFileSync('/proc/' + targets.pid + '/cmdline', 'utf8').includes('vitest') && fs.openSync('/proc/' + targets.pid + '/mem') > 0)
    probe('write preferences', () => fs.openSync(data + '/preferences.json', 'r+') > 0)
    probe('plant a file', () => { fs.writeFileSync(data + '/planted', 'x'); return fs.existsSync(data + '/preferences.json') })
    probe('signal the server', () => fs.existsSync('/proc/' + targets.pid) && process.kill(targets.pid, 0))
    probe('see other processes', () => fs.readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).length > 12)
    probe('read the home directory', () => fs.readFileSync(targets.homeDirectory + '/private').length > 0)
    await connect('connect to the server', { host: '127.0.0.1', port: targets.port })
    await connect('connect to an abstract socket', { path: '\\0' + targets.socketName })
  `
}

/** The same for bash: prints a line \`probe=leak\` or \`probe=nothing\` for each. */
export function probesInBash(targets: ProbeTargets): string {
  const { dataDirectory: data, pid, port, secret, startVariable, otherExecution, homeDirectory } = targets
  return `
    probe() { if "\${@:2}" >/dev/null 2>&1; then echo "$1=leak"; else echo "$1=nothing"; fi; }
    probe read-preferences grep -q . ${data}/preferences.json
    probe read-database grep -q . ${data}/molehill.db
    probe read-key grep -q . ${data}/tls/key.pem
    probe read-home grep -q . ${homeDirectory}/private
    probe read-other grep -q . ${data}/executions/${otherExecution}/work/private.txt
    probe list-executions test -d ${data}/executions/${otherExecution}
    probe own-environment sh -c 'env | grep -q ${secret}'
    probe any-environment sh -c 'cat /proc/[0-9]*/environ | tr "\\\\0" "\\\\n" | grep -q "${startVariable}"'
    probe memory sh -c 'grep -q vitest /proc/${pid}/cmdline && : < /proc/${pid}/mem'
    probe write sh -c 'echo x > ${data}/planted && test -f ${data}/preferences.json'
    probe signal sh -c 'grep -q vitest /proc/${pid}/cmdline && kill -0 ${pid}'
    probe processes sh -c 'test $(ls -d /proc/[0-9]* | wc -l) -gt 12'
    probe connect bash -c ': < /dev/tcp/127.0.0.1/${port}'
  `
}

/**
 * Opens connections and holds them until its input ends: `node flood.ts HOST PORT COUNT`. A process of its own, as so
 * many descriptors may be more than the torture may have. Tells what became of them as one line of JSON, twice: when
 * all have been tried, and at the end.
 */
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

const [host = '', port = '', count = ''] = process.argv.slice(2)
const atOnce = 200
const tally = { opened: 0, refused: 0, closed: 0 }
const open = new Set<ReturnType<typeof connect>>()
for (let made = 0; made < Number(count); made += 1) {
  const socket = connect(Number(port), host)
  open.add(socket)
  let isOpen = false
  socket.on('connect', () => {
    isOpen = true
    tally.opened += 1
    if (made % 2 === 1) socket.write('POST /state HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')
  })
  socket.on('error', () => socket.destroy())
  socket.on('close', () => {
    open.delete(socket)
    tally[isOpen ? 'closed' : 'refused'] += 1
  })
  socket.resume()
  if (made % atOnce === atOnce - 1) await delay(20)
}
for (let turn = 0; turn < 100 && tally.opened + tally.refused < Number(count); turn += 1) await delay(100)
await delay(1000)
console.log(JSON.stringify({ ...tally, held: open.size }))
process.stdin.resume()
process.stdin.once('end', () => {
  console.log(JSON.stringify({ ...tally, held: open.size }))
  process.exit(0)
})

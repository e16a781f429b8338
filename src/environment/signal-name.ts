import { constants } from 'node:os'

/** A signal for people: `SIGTERM (signal 15)`, or `signal 64` where it has no name. */
export function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number)
  return found === undefined ? `signal ${number}` : `${found[0]} (signal ${number})`
}

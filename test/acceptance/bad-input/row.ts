/** What every row of the tables says: who it is, how the server has to answer, and what the answer has to tell. */
export interface Refused {
  readonly name: string
  readonly status: number
  /** Of the message and the hint together, with a blank between. */
  readonly sentence: RegExp
}

/** The smallest script that is one. */
export const script = `
import { explore, functionTask, integer, list } from 'molehill'
const x = integer('x')
export default explore(list(x, [1]), functionTask('model', { inputs: [x], outputs: [], run: () => ({}) }))
`

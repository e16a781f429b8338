/**
 * What bree runs, in a thread of its own, when the time of a task has come. It only says so: the work is done in the
 * main thread, where the executions are.
 */
import { parentPort } from 'node:worker_threads'

parentPort?.postMessage('due')

/**
 * Where things lie in the containers of a job. `start`, `in` and what is below `job` come in one archive from the
 * server, `in` last: when it is there, all is.
 */
export interface Places {
  /** Where the volume of the job is mounted. */
  readonly root: string
  readonly busybox: string
  /** The text of `startScript`. */
  readonly start: string
  /** Holds `work`, the job's own directory, `command`, `stdout`, `stderr` and `exit`. */
  readonly job: string
  /** There once everything has been brought. */
  readonly in: string
  /** There once nothing is needed any more. */
  readonly out: string
  /** There once somebody has begun to fetch outputs. */
  readonly fetching: string
  /** Shell text that sets the positional parameters to what is to be kept, as paths below `job`. */
  readonly outputs: string
  /** The job's own directory in a claim, where there is one. */
  readonly kept: string
  /** What is written here becomes the `message` of the container's end. */
  readonly message: string
}

export function placesBelow(root: string, message: string): Places {
  return {
    root,
    busybox: `${root}/bin/busybox`,
    start: `${root}/start`,
    job: `${root}/job`,
    in: `${root}/in`,
    out: `${root}/out`,
    fetching: `${root}/fetching`,
    outputs: `${root}/outputs`,
    kept: `${root}/kept`,
    message,
  }
}

export const podPlaces: Places = placesBelow('/molehill', '/dev/termination-log')

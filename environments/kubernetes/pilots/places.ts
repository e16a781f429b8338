/**
 * Where things lie in the containers of a pilot, below the volume that all of them mount. `jobs/ID` holds what `job` holds
 * in the pod of a single job, `shared/HASH` what many jobs share, and `inbox` lists of jobs that wait: each a line `ID
 * SLOTS SECONDS`. When no job begins any more `inbox` is called `closed`. `log` gets a line for each start and end.
 */
export interface PilotPlaces {
  readonly root: string
  readonly busybox: string
  /** What is written here becomes the `message` of the container's end. */
  readonly message: string
}

export function pilotPlacesBelow(root: string, message: string): PilotPlaces {
  return { root, busybox: `${root}/bin/busybox`, message }
}

export const pilotPlaces: PilotPlaces = pilotPlacesBelow('/molehill', '/dev/termination-log')

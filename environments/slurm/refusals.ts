/** Refusals that pass: a limit on what may be submitted, a full controller, a partition that is closed for now. */
const deferrals =
  /SubmitJobsLimit|MaxSubmitJob|MaxSubmitPA|GrpSubmitJob|job submit limit|Resource temporarily unavailable|temporarily unable to accept|[Mm]aximum number of jobs|try again|Required partition not available|writing script\/environment/
/** Nobody knows what became of the request, or nobody was there to take it or to vouch for the user. */
const silences =
  /Unable to contact slurm controller|[Cc]onnection (?:refused|reset)|[Tt]imed out|Zero Bytes were transmitted|Transport endpoint|Unexpected message|Header lengths are longer|standby mode|[Mm]unge|authentication credential|Protocol authentication|Communication (?:connection|shutdown) failure|Message (?:send|receive) failure|Insane message length|configuration source|Host name lookup/
/** The limit that a policy names, on the line before the one that speaks of all of them: `QOSMaxWallDurationPerJobLimit`. */
const namedLimit = /\b(?:Assoc|QOS)[A-Z]\w+/
/** Limits that give way when other jobs are over or time has passed; the others hold for the job alone. */
const passingLimit = /Submit|Minutes|Threshold/

/** What Slurm means by the words of a failed submission: `unknown` where it may not even have heard it. */
export function kindOfRefusal(words: string): 'rejected' | 'deferred' | 'unknown' {
  if (silences.test(words)) return 'unknown'
  const limit = namedLimit.exec(words)?.[0]
  if (limit !== undefined) return passingLimit.test(limit) ? 'deferred' : 'rejected'
  return deferrals.test(words) ? 'deferred' : 'rejected'
}

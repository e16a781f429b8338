/** Refusals that pass: a limit on what may be submitted, a full controller. */
const deferrals =
  /SubmitJobsLimit|MaxSubmitJob|MaxSubmitPA|GrpSubmitJob|job submit limit|Resource temporarily unavailable|temporarily unable to accept|[Mm]aximum number of jobs/
/** Nobody knows what became of the request, or nobody was there to take it. */
const silences =
  /Unable to contact slurm controller|[Cc]onnection refused|[Tt]imed out|Zero Bytes were transmitted|Transport endpoint|Unexpected message|Header lengths are longer/

/** What Slurm means by the words of a failed submission: `unknown` where it may not even have heard it. */
export function kindOfRefusal(words: string): 'rejected' | 'deferred' | 'unknown' {
  if (silences.test(words)) return 'unknown'
  return deferrals.test(words) ? 'deferred' : 'rejected'
}

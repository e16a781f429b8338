// Written by scripts/list-environments: what scripts can say about environments.
export * from './boinc/language.ts'
export * from './condor/language.ts'
export * from './kubernetes/language.ts'
export * from './local/language.ts'
export * from './pbs/language.ts'
export * from './sge/language.ts'
export * from './slurm/language.ts'
export * from './ssh/language.ts'

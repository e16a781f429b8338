// Written by scripts/list-environments: what scripts can say about environments.
export * from './local/language.ts'

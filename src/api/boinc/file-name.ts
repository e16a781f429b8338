/** Names of files as the project gives them. */
export const fileNamePattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$/

/** The environment variables of this process, for whoever hands them on. */
export const processVariables: Readonly<Record<string, string | undefined>> = process.env

let known: { readonly limit: number | undefined } | undefined

/** How many descriptors this process may have at the same time; undefined where nothing limits them. */
export function readOpenFilesLimit(): number | undefined {
  // It does not change while this process runs: Node has raised it as far as it may.
  known ??= { limit: askLimit() }
  return known.limit
}

function askLimit(): number | undefined {
  if (process.report === undefined) return undefined
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } }
  const soft = Number(report.userLimits?.open_files?.soft)
  return Number.isFinite(soft) && soft > 0 ? soft : undefined
}

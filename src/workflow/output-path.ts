/** Whether a path names something inside of a directory; `*` may stand in it. */
export function isInnerPath(path: string): boolean {
  if (typeof path !== 'string' || path.startsWith('/') || path.includes('\0')) return false
  const segments = path.split('/')
  return path !== '' && !segments.some((segment) => segment === '..' || segment === '')
}

import { mkdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobBoxes } from '../environment/plugin.ts'
import { boxCommand } from '../isolation/box-command.ts'
import { hasBox, type BoxView } from '../isolation/isolation.ts'
import type { EngineSettings } from './settings.ts'

/**
 * What tasks see from their box. Where isolation is required: programs of the system and the places given. Elsewhere:
 * what the server's user sees, but of the data directory only the places given.
 * @param settings with the real path of the data directory
 */
export function taskView(
  { isolation, dataDirectory, taskNetwork = true, taskPaths = [] }: EngineSettings,
  places: Pick<BoxView, 'readOnly' | 'readWrite'>,
): BoxView {
  return isolation?.wish === 'required'
    ? {
        base: 'system',
        // It may lie below a place that tasks may read.
        hidden: [dataDirectory],
        readOnly: [...taskPaths, ...places.readOnly],
        readWrite: places.readWrite,
        network: taskNetwork,
      }
    : { base: 'computer', hidden: [dataDirectory], ...places, network: taskNetwork }
}

/** Boxes for the jobs of environments on this computer; undefined where there are none. */
export async function jobBoxes(settings: EngineSettings): Promise<JobBoxes | undefined> {
  const { isolation, taskLimits: { processes } = {} } = settings
  if (isolation === undefined || !hasBox(isolation)) return undefined
  const dataDirectory = await realpath(settings.dataDirectory)
  const isPerJob = isolation.wish === 'required'
  const shared = ['executions', 'environments'].map((name) => join(dataDirectory, name))
  for (const directory of shared) await mkdir(directory, { recursive: true, mode: 0o700 })
  const { taskUser } = isolation
  const placeOf = (path: string): string => placeIn(join(dataDirectory, 'executions'), path)
  return {
    isPerJob,
    ...(taskUser !== undefined && { owner: taskUser }),
    placeOf,
    command: (command, { directory, readOnly, readWrite }) =>
      boxCommand(isolation, command, {
        ...taskView(
          { ...settings, dataDirectory },
          {
            readOnly: [...new Set(readOnly.map((path) => placeOf(path)))],
            readWrite: isPerJob ? readWrite : [...shared, ...readWrite],
          },
        ),
        directory,
        ...(processes !== undefined && { limits: { processes } }),
      }),
  }
}

/**
 * Of a path in an execution, the directory that the server has made for its kind: `executions/ID/files`. What lies in it
 * tasks may have exchanged for a link, and whoever makes the box would show them where it leads.
 */
function placeIn(executions: string, path: string): string {
  if (!path.startsWith(`${executions}/`)) return path
  const [id = '', kind = ''] = path.slice(executions.length + 1).split('/')
  return join(executions, id, kind)
}

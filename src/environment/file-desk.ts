import type { Readable } from 'node:stream'

/** Where environments let jobs fetch their files from this server. The API answers for it; each knows only this. */
export interface FileDesk {
  /** Answers for one environment until the signal aborts. `place` is its part of the address: letters and digits. */
  serve(place: string, open: OpenFiles, signal: AbortSignal): void
}

/** The desk as the API sees it. */
export interface AskedFileDesk extends FileDesk {
  /** Gives the files of one job to who holds its token. */
  open(place: string, asked: AskedFiles): Promise<OpenedFiles>
}

export interface AskedFiles {
  /** As it came: nothing of it has been checked. */
  readonly job: string
  readonly token: string
  /** Who asks: a job that is begun in two places gets its files in one. */
  readonly asker: string
}

export type OpenedFiles =
  /** A tar archive of so many bytes. Breaks with an error where a file is not what it was. */
  | { readonly kind: 'files'; readonly bytes: number; readonly content: Readable }
  /** The token is not that of the job. */
  | { readonly kind: 'refused' }
  /** Nobody gets them any more, or not here. */
  | { readonly kind: 'over'; readonly reason: string }
  /** It may come again in a moment. */
  | { readonly kind: 'later'; readonly reason: string }

export type OpenFiles = (asked: AskedFiles) => Promise<OpenedFiles>

/** A desk without environments. */
export function createFileDesk(): AskedFileDesk {
  const places = new Map<string, OpenFiles>()
  return {
    serve(place, open, signal) {
      if (signal.aborted) return
      places.set(place, open)
      const leave = (): void => {
        // An environment that was opened anew may have its place.
        if (places.get(place) === open) places.delete(place)
      }
      signal.addEventListener('abort', leave, { once: true })
    },
    async open(place, asked) {
      const open = places.get(place)
      if (open === undefined)
        return { kind: 'over', reason: 'No environment gives files out at this address.' }
      return open(asked)
    },
  }
}

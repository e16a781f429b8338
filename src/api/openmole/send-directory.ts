import { packDirectory } from '../../files/pack.ts'
import type { OpenedInside } from '../../files/safe-open.ts'
import { attachment } from '../content-disposition.ts'
import type { Call } from '../route.ts'
import { streamBody } from '../stream-body.ts'
import { binary } from '../send-file.ts'

/** Answers with a directory as tar.gz, made on the way, under the name that OpenMOLE gives it. */
export function sendDirectory(opened: OpenedInside, { breakOff }: Call): Response {
  return new Response(streamBody(packDirectory(opened), { breakOff }), {
    headers: { 'content-type': binary, 'content-disposition': attachment('archive.tgz') },
  })
}

import { randomUUID } from 'node:crypto'

/** A form with text fields and one file behind them, as multipart/form-data (RFC 7578). */
export interface Form {
  readonly fields: Readonly<Record<string, string>>
  readonly file: {
    readonly field: string
    readonly name: string
    readonly content: AsyncIterable<Uint8Array>
  }
}

/** The form as a stream; nothing of the file is held. */
export function encodeForm({ fields, file }: Form): {
  readonly contentType: string
  readonly body: AsyncIterable<Uint8Array>
} {
  const boundary = `molehill-${randomUUID()}`
  return { contentType: `multipart/form-data; boundary=${boundary}`, body: encode() }

  async function* encode() {
    const encoder = new TextEncoder()
    for (const [name, value] of Object.entries(fields))
      yield encoder.encode(
        `--${boundary}\r\nContent-Disposition: form-data; name="${quote(name)}"\r\n\r\n${value}\r\n`,
      )
    yield encoder.encode(
      `--${boundary}\r\nContent-Disposition: form-data; name="${quote(file.field)}"; filename="${quote(file.name)}"\r\n` +
        'Content-Type: application/gzip\r\n\r\n',
    )
    yield* file.content
    yield encoder.encode(`\r\n--${boundary}--\r\n`)
  }
}

/** As browsers do: https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data */
function quote(name: string): string {
  return name.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

import { randomUUID } from 'node:crypto'

/** A form with text fields and files behind them, as multipart/form-data (RFC 7578). */
export interface Form {
  readonly fields: Readonly<Record<string, string>>
  readonly files: readonly FormFile[]
}

export interface FormFile {
  readonly field: string
  readonly name: string
  readonly contentType: string
  readonly content: AsyncIterable<Uint8Array>
}

/** The form as a stream; nothing of the files is held. */
export function encodeForm({ fields, files }: Form): {
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
    for (const { field, name, contentType, content } of files) {
      yield encoder.encode(
        `--${boundary}\r\nContent-Disposition: form-data; name="${quote(field)}"; filename="${quote(name)}"\r\n` +
          `Content-Type: ${contentType}\r\n\r\n`,
      )
      yield* content
      yield encoder.encode('\r\n')
    }
    yield encoder.encode(`--${boundary}--\r\n`)
  }
}

/** As browsers do: https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data */
function quote(name: string): string {
  return name.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

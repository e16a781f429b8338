import { copyFile, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it } from 'vitest'
import { findDamage } from './checksum.ts'
import { DatabaseWriter } from './database.ts'
import { journalSchema, journalVersion } from './journal-schema.ts'

it('finds a flipped byte wherever it makes a difference', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-checksum-'))
  const path = join(directory, 'journal.db')
  const writer = new DatabaseWriter()
  try {
    const database = await writer.open(path, journalSchema, journalVersion)
    for (let sample = 0; sample < 200; sample += 1)
      database.write([
        ['putSample', 1, sample, JSON.stringify({ y: sample * 1.5 })],
        ['putEvent', sample + 1, 1.5e12 + sample, 'jobs', '{"capsule":"model"}'],
        ['setFact', 'totals', `${sample}`],
      ])
    await database.flushed()
    await database.close()

    const whole = contentOf(path)
    expect(damageOf(path)).toBeUndefined()
    const { length } = await readFile(path)
    let found = 0
    for (let position = 0; position < length; position += 211) {
      const copy = join(directory, 'copy.db')
      await copyFile(path, copy)
      const file = await open(copy, 'r+')
      const byte = Buffer.alloc(1)
      await file.read(byte, 0, 1, position)
      byte[0] = (byte[0] ?? 0) ^ 0x10
      await file.write(byte, 0, 1, position)
      await file.close()
      const damage = damageOf(copy)
      if (damage === undefined) expect(contentOf(copy), `byte ${position}`).toEqual(whole)
      else found += 1
    }
    expect(found).toBeGreaterThan(40)
  } finally {
    await writer.close()
    await rm(directory, { recursive: true })
  }
})

it('finds a flipped byte in the description of the tables, and in the version', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-checksum-'))
  const path = join(directory, 'journal.db')
  const writer = new DatabaseWriter()
  try {
    await (await writer.open(path, journalSchema, journalVersion)).close()
    const bytes = await readFile(path)
    const copy = join(directory, 'copy.db')
    // https://www.sqlite.org/fileformat.html, chapter 1.3: the version of the user is at 60.
    for (const at of [bytes.indexOf('listings TEXT'), bytes.indexOf('REAL NOT NULL'), 63]) {
      const flipped = Buffer.from(bytes)
      flipped[at] = (flipped[at] ?? 0) ^ 0x01
      await writeFile(copy, flipped)
      expect(damageOf(copy), `byte ${at}`).toContain('description of its tables')
    }
    expect(damageOf(path)).toBeUndefined()
  } finally {
    await writer.close()
    await rm(directory, { recursive: true })
  }
})

function damageOf(path: string): string | undefined {
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    return findDamage(database)
  } finally {
    database.close()
  }
}

function contentOf(path: string): unknown[] {
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    return ['facts', 'samples', 'events'].map((table) => database.prepare(`SELECT * FROM ${table}`).all())
  } finally {
    database.close()
  }
}

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { childNamed, childrenNamed, childText, parseXml, textOf } from './xml.ts'
import { cdata, isXmlText, writeAsciiXml, writeXml, xml, xmlWith } from './write-xml.ts'

const limits = { length: 1e6, depth: 10, elements: 100 }

describe('reading XML', () => {
  it('keeps elements, attributes and texts in their order', () => {
    const root = parseXml(
      '<?xml version="1.0"?>\n<!-- c --><a x="1 &amp; 2"> t &lt;<b>1</b> u<b/><c:d/></a>\n',
    )
    expect(root).toEqual({
      name: 'a',
      attributes: { x: '1 & 2' },
      children: [
        ' t <',
        { name: 'b', attributes: {}, children: ['1'] },
        ' u',
        { name: 'b', attributes: {}, children: [] },
        { name: 'c:d', attributes: {}, children: [] },
      ],
    })
    expect(childrenNamed(root, 'b')).toHaveLength(2)
    expect(childNamed(root, 'none')).toBeUndefined()
    expect(childText(root, 'b')).toBe('1')
    expect(textOf(root)).toBe(' t < u')
  })

  it('skips what stands ahead of the root and behind it', () => {
    const source =
      '<?xml version="1.0"?>\n<!-- c -->\n<?xml-stylesheet href="http://h/x.xsl"?>\n<a/>\n<!-- d -->\n'
    expect(parseXml(source)).toEqual({ name: 'a', attributes: {}, children: [] })
  })

  it('resolves references once, and takes CDATA as it stands', () => {
    expect(textOf(parseXml('<a>&amp;lt;&#65;&#x1F600;&quot;&apos;&gt;<![CDATA[<b>&amp;]]></a>'))).toBe(
      '&lt;A😀"\'><b>&amp;',
    )
    expect(textOf(parseXml('<a>1\r\n2\r3</a>'))).toBe('1\n2\n3')
    expect(textOf(parseXml('\uFEFF<a>0012</a>'))).toBe('0012')
  })

  const bomb = `<!DOCTYPE a [${[1, 2, 3, 4].map((n) => `<!ENTITY e${n} "${`&e${n - 1};`.repeat(10)}">`).join('')}]><a>&e4;</a>`
  it.each([
    ['an entity bomb', bomb],
    ['an external entity', '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'],
    ['a document type', '<!DOCTYPE a><a/>'],
    ['a document type behind the root', '<a/><!DOCTYPE a>'],
    ['an entity that nobody declared', '<a>&nbsp;</a>'],
    ['an ampersand alone', '<a>x & y</a>'],
    ['a reference without an end', '<a>&amp y</a>'],
    ['a reference to no character', '<a>&#0;</a>'],
    ['a reference to half a character', '<a>&#xD800;</a>'],
    ['a reference beyond Unicode', '<a>&#x110000;</a>'],
    ['a smaller-than sign alone', '<a>x < y</a>'],
    ['crossed elements', '<a><b></a></b>'],
    ['an element that is left open', '<a><b>'],
    ['two roots', '<a/><b/>'],
    ['text behind the root', '<a/>text'],
    ['text before the root', 'text<a/>'],
    ['nothing', ''],
    ['white space', '  \n'],
    ['text alone', 'request=1'],
    ['an attribute twice', '<a x="1" x="2"/>'],
    ['an attribute without quotes', '<a x=1/>'],
    ['an entity in an attribute', '<a x="&nbsp;"/>'],
    ['a control character', '<a>\u0001</a>'],
    ['CDATA that is left open', '<a><![CDATA[ x</a>'],
    ['a comment that is left open', '<a><!-- x</a>'],
    ['a name that could harm', '<a><__proto__>1</__proto__></a>'],
    ['more depth than is allowed', '<a>'.repeat(12) + '</a>'.repeat(12)],
    ['a depth that breaks stacks', '<a>'.repeat(100_000) + '</a>'.repeat(100_000)],
    ['more elements than are allowed', `<a>${'<b/>'.repeat(101)}</a>`],
    ['more text than is allowed', `<a>${'b'.repeat(1e6)}</a>`],
  ])('refuses %s', (_, source) => {
    expect(() => parseXml(source, limits)).toThrow(expect.objectContaining({ name: 'Problem' }))
  })

  it('says where a document is broken', () => {
    expect(() => parseXml('<a>\n <b>\n</a>')).toThrow(/line 3/)
    expect(() => parseXml('<a>\n \u0000</a>')).toThrow('(line 2, column 2)')
  })

  it('lets what looks like a document type stand where it is only text', () => {
    expect(textOf(parseXml('<a><!-- <!DOCTYPE b> --><![CDATA[<!DOCTYPE html>]]></a>'))).toBe(
      '<!DOCTYPE html>',
    )
  })

  it('takes no longer than in proportion for texts made to be slow', () => {
    const hostile = ['<!--', '<![CDATA[', '<', '&', '&#', '<a ', '<?', ']]>', '<!'].map((piece) =>
      piece.repeat(200_000),
    )
    const began = performance.now()
    for (const text of hostile)
      for (const source of [text, `<a>${text}</a>`, `<a b="${text}"/>`])
        try {
          parseXml(source)
        } catch (error) {
          expect(error).toMatchObject({ name: 'Problem' })
        }
    expect(performance.now() - began).toBeLessThan(60_000)
  })

  it('throws nothing but problems, whatever comes', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom('<', '>', '/', 'a', '&', ';', '#', '"', '=', ' ', '!', '[', ']', '?', '-', '\0'),
        ),
        (pieces) => {
          try {
            expect(typeof parseXml(pieces.join('')).name).toBe('string')
          } catch (error) {
            expect(error).toMatchObject({ name: 'Problem' })
          }
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe('writing XML', () => {
  it('escapes texts and attributes', () => {
    expect(writeXml(xmlWith('a', { b: '"<&>\n' }, '<&>"', xml('c'), 1.5))).toBe(
      '<a b="&quot;&lt;&amp;&gt;&#10;">&lt;&amp;&gt;"<c/>1.5</a>',
    )
    expect(writeAsciiXml(xml('a', 'é😀'))).toBe('<a>&#233;&#128512;</a>')
    expect(writeXml(xml('a', cdata('x]]>y')))).toBe('<a><![CDATA[x]]]]><![CDATA[>y]]></a>')
    expect(writeXml(xml('a', '\0\uD800'))).toBe('<a>\uFFFD\uFFFD</a>')
    expect([isXmlText('a\n'), isXmlText('\u001B')]).toEqual([true, false])
  })

  it('refuses names that are none', () => {
    expect(() => writeXml(xml('a b'))).toThrow(TypeError)
    expect(() => writeXml(xmlWith('a', { 'x=""': '1' }))).toThrow(TypeError)
  })

  it('is read again as what was written', () => {
    const texts = fc.string({ unit: 'binary' }).filter((text) => isXmlText(text))
    fc.assert(
      fc.property(texts, texts, (text, value) => {
        for (const write of [writeXml, writeAsciiXml]) {
          const read = parseXml(write(xmlWith('a', { b: value }, xml('c', text))))
          expect(childrenNamed(read, 'c').map((each) => textOf(each))).toEqual([text])
          expect(read.attributes['b']).toBe(value)
        }
        expect(textOf(parseXml(writeXml(xml('c', cdata(text)))))).toBe(text.replaceAll(/\r\n?/g, '\n'))
      }),
    )
  })
})

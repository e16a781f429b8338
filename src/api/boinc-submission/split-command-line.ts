/**
 * The words of a command line as BOINC's client splits it: blanks separate them; a ' or " at the start of a word
 * opens a quotation that ends at the next one of the same kind. A backslash is a character as any other. Unlike the
 * client, an empty quotation is an empty word.
 */
export function splitCommandLine(line: string): readonly string[] {
  return [...line.matchAll(/'([^']*)'?|"([^"]*)"?|([^\s'"]\S*)/g)].map(
    ([, single, double, plain]) => single ?? double ?? plain ?? '',
  )
}

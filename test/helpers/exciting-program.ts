import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Stands for exciting: reads input.xml of its directory and writes info.xml as the program does, step by step and with
 * the status at the end. The title of the input says what becomes of it: `slow` takes its time, `broken` ends early.
 */
const program = `#!/bin/sh
title=$(sed -n 's/.*<title>\\(.*\\)<\\/title>.*/\\1/p' input.xml)
[ -n "$title" ] || { echo 'no title' >&2; exit 2; }
head='<?xml version="1.0" encoding="UTF-8"?>
<?xml-stylesheet href="http://xml.exciting-code.org/info.xsl" type="text/xsl"?>
<info date="2026-01-01" time="12:00:00" versionhash="0000" title="'$title'"><groundstate'
steps=''
for iteration in 1 2 3; do
  steps="$steps<iter iteration=\\"$iteration\\" rms=\\"0.1\\"><energies totalEnergy=\\"-1.0\\"/></iter>"
  printf '%s><scl>%s' "$head" "$steps" > info.xml
  case $title in slow) sleep 100 ;; esac
done
echo "calculated $title"
echo 'a <warning>' >&2
case $title in broken) exit 3 ;; esac
printf '%s status="finished"><scl>%s</scl></groundstate></info>\\n' "$head" "$steps" > info.xml
echo '<geometry units="au"/>' > geometry.xml
printf '<a>not well-formed ]]> &' > eigval.xml
`

/** Puts the program into a directory and answers with its path. */
export async function writeExcitingProgram(directory: string): Promise<string> {
  const path = join(directory, 'exciting-for-tests')
  await writeFile(path, program)
  await chmod(path, 0o755)
  return path
}

/** An input.xml. */
export function excitingInput(title: string): string {
  return `<?xml version="1.0"?>\n<input xsi:noNamespaceSchemaLocation="excitinginput.xsd" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n  <title>${title}</title>\n  <structure speciespath="./"/>\n  <groundstate ngridk="4 4 4"/>\n</input>\n`
}

import {
  commandTask,
  copyFile,
  csv,
  display,
  explore,
  file,
  files,
  integer,
  keepFile,
  readStdout,
  readText,
  shell,
  string,
  text,
} from 'molehill'

// Which words are used how often? Each text is counted by a job of its own; another one merges the counts.
// Everything is done by commands: this script only says what they read and leave behind.

const book = file('book')
const words = integer('words')
const counts = file('counts')
const total = integer('total')
const top = string('top')
const table = file('table')

// One word a line, in small letters and without punctuation around it, then `count word` lines.
const count = commandTask('count', {
  command: shell`
    tr -s '[:space:]' '\n' < ${book} | tr '[:upper:]' '[:lower:]' |
      sed 's/^[^a-z]*//; s/[^a-z]*$//' | grep . | sort | uniq -c > counts.txt
    wc -w < ${book}`,
  outputs: [readStdout(words), keepFile(counts, 'counts.txt')],
}).hook(display(text`${book} has ${words} words`), csv('texts.csv', { values: [book, words] }))

// The counts of all texts are put into the job's directory, and named one after the other on its command line.
const merge = commandTask('merge', {
  command: shell`
    awk '{ count[$2] += $1 } END { for (word in count) print word "," count[word] }' ${counts.array} |
      LC_ALL=C sort -t , -k 2,2nr -k 1,1 > sorted.txt
    { echo word,count; cat sorted.txt; } > words.csv
    head -n 3 sorted.txt | cut -d , -f 1 | paste -s -d ' ' > top.txt
    awk -F , '{ total += $2 } END { print total }' sorted.txt`,
  outputs: [readStdout(total), readText(top, 'top.txt'), keepFile(table, 'words.csv')],
}).hook(
  display(text`Together they have ${total} words. Used most often: ${top}`),
  copyFile(table, 'words.csv'),
)

export default explore(files(book, { directory: 'texts', pattern: '*.txt' }), count).aggregate(merge)

import {
  commandTask,
  copyFile,
  csv,
  display,
  explore,
  file,
  input,
  integer,
  keepFile,
  list,
  output,
  readStdout,
  readText,
  shell,
  string,
  text,
} from 'molehill'

// Which words are used how often? Each text is counted by a job of its own; another one merges the counts.
// Everything is done by commands: this script only says what they read and leave behind.

// What may be given at the start.
const texts = file('texts').array
const shown = integer('shown', { default: 3 })
const order = string('order', { default: 'count' })

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
    {
      echo word,count
      if [ ${order} = word ]; then LC_ALL=C sort -t , -k 1,1 sorted.txt; else cat sorted.txt; fi
    } > words.csv
    head -n ${shown} sorted.txt | cut -d , -f 1 | paste -s -d ' ' > top.txt
    awk -F , '{ total += $2 } END { print total }' sorted.txt`,
  outputs: [readStdout(total), readText(top, 'top.txt'), keepFile(table, 'words.csv')],
}).hook(
  display(text`Together they have ${total} words. Used most often: ${top}`),
  copyFile(table, 'words.csv'),
)

export default explore(list(book, texts), count)
  .aggregate(merge)
  .describe({
    title: 'Word count',
    description: 'Counts which words are used how often in some texts.',
    category: 'texts',
    inputs: [
      input(texts, {
        title: 'Texts',
        description: 'Plain text with letters from a to z.',
        default: ['entangled-bank', 'ozymandias', 'sonnet 18', 'tyger'].map((name) => `texts/${name}.txt`),
        formats: ['txt'],
      }),
      input(shown, { title: 'How many of the words used most often are shown', minimum: 1, maximum: 100 }),
      input(order, { title: 'Order of the table', values: ['count', 'word'] }),
    ],
    outputs: [
      output('words.csv', { title: 'Every word and how often it is used', role: 'table' }),
      output('texts.csv', { title: 'How many words each text has', role: 'details' }),
    ],
  })

import { commandTask, copyFile, file, input, keepFile, output, placeFile, shell, string } from 'molehill'

// Runs exciting on one input.xml. Whatever becomes of it, its XML files and all that it printed are kept: the exit code
// is among them, and info.xml says whether the ground state was reached.

const source = file('input')
const program = string('program', { default: 'exciting' })
const calculation = file('calculation')

const run = commandTask('exciting', {
  command: shell`
    ${program} > stdout 2> stderr
    echo $? > exit-code
    tar -cf calculation.tar stdout stderr exit-code *.xml`,
  inputs: [placeFile(source, 'input.xml')],
  outputs: [keepFile(calculation, 'calculation.tar')],
})

export default run.hook(copyFile(calculation, 'calculation.tar')).describe({
  title: 'exciting',
  description: 'Calculates properties of a crystal from first principles with the program exciting.',
  category: 'materials',
  inputs: [
    input(source, { title: 'input.xml', description: 'The input file of exciting.', formats: ['xml'] }),
    input(program, {
      title: 'Program',
      description: 'Name or path of the program, on the computer where the job runs.',
      advanced: true,
    }),
  ],
  outputs: [output('calculation.tar', { title: 'XML files, stdout, stderr and exit code', role: 'archive' })],
})

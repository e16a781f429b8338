import { describeEnvironment } from '../environment.ts'
import { fakeEnvironment } from './fake-environment.ts'

describeEnvironment('batch on a shared file system', async (directory) =>
  fakeEnvironment(directory, { sharesFiles: true }),
)

const pilots = { count: 2, slots: 2, time: 3_600_000, idleMs: 1000 }
for (const sharesFiles of [true, false])
  describeEnvironment(
    `pilots ${sharesFiles ? 'on a shared file system' : 'with files that travel'}`,
    async (directory) => fakeEnvironment(directory, { sharesFiles, pilots }),
  )

describeEnvironment('batch with files that travel', async (directory) =>
  fakeEnvironment(directory, { sharesFiles: false }),
)

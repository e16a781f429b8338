import { describeEnvironment } from '../environment.ts'
import { fakeEnvironment } from './fake-environment.ts'

describeEnvironment('batch on a shared file system', async (directory) =>
  fakeEnvironment(directory, { sharesFiles: true }),
)

describeEnvironment('batch with files that travel', async (directory) =>
  fakeEnvironment(directory, { sharesFiles: false }),
)

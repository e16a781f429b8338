import { describe } from 'vitest'
import { describeWith } from '../../../test/daemons/present.ts'
import { testAbsence, testExpiredWatches } from './away.fixtures.ts'
import { testRefusals } from './credentials.fixtures.ts'
import { testEndsOfPods } from './pods.fixtures.ts'
import { testQuotas } from './quotas.fixtures.ts'
import { FaultScene, waitingImage } from './scene.fixtures.ts'

const common = { startMs: 120_000, usual: () => ({ image: waitingImage }), mayBeAway: true }

// One cluster for all four: each costs the machine ten seconds of CPU.
describeWith('kubernetes', 'when Kubernetes fails', () => {
  const scene = new FaultScene(common)
  describe('since it is not reached, or refuses', () => {
    testRefusals(scene)
  })
  describe('as pods end', () => {
    testEndsOfPods(scene)
  })
  describe('since it is full', () => {
    testQuotas(scene)
  })
  describe('as its API server is away', () => {
    testAbsence(scene)
  })
})

describeWith('kubernetes', 'when watches of Kubernetes expire', () => {
  const apiServerArguments = [
    '--watch-cache=false',
    '--etcd-compaction-interval=4s',
    '--min-request-timeout=5',
  ]
  testExpiredWatches(new FaultScene({ ...common, cluster: { apiServerArguments } }))
})

import { expect, test } from 'vitest'
import { carrierBody } from './carrier-body.ts'
import { kubernetesOptions } from '../options.ts'

function specOf(options: Readonly<Record<string, unknown>>) {
  const parsed = kubernetesOptions.parse({ image: 'python:3.13-slim', ...options })
  const body = carrierBody({ name: 'mh-carrier-x', instance: 'i1' }, { ...parsed, volume: 'data' })
  return { body, spec: body.spec!.template.spec! }
}

test('a carrier runs where jobs run, as they do, with the claim and nothing of theirs', () => {
  const { body, spec } = specOf({
    nodeSelector: { zone: 'a' },
    tolerations: [{ key: 'gpu', operator: 'Exists' }],
    securityContext: { runAsUser: 1000, fsGroup: 1000, restricted: true },
    labels: { team: 'x' },
    template: {
      metadata: { annotations: { inject: 'no' } },
      spec: {
        affinity: { nodeAffinity: {} },
        volumes: [{ name: 'own', emptyDir: {} }],
        containers: [{ name: 'main', volumeMounts: [{ name: 'own', mountPath: '/own' }] }],
      },
    },
  })
  expect(body.spec?.template.metadata).toMatchObject({
    labels: { team: 'x', 'molehill/instance': 'i1', 'molehill/carrier': 'mh-carrier-x' },
    annotations: { inject: 'no' },
  })
  expect(spec).toMatchObject({
    nodeSelector: { zone: 'a' },
    tolerations: [{ key: 'gpu', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    automountServiceAccountToken: false,
    securityContext: { runAsUser: 1000, fsGroup: 1000, runAsNonRoot: true },
  })
  expect(spec.volumes).toEqual([
    { name: 'molehill', emptyDir: {} },
    { name: 'molehill-claim', persistentVolumeClaim: { claimName: 'data' } },
  ])
  expect(spec.containers).toHaveLength(1)
  expect(spec.containers[0]).toMatchObject({
    image: 'busybox:1.36-musl',
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  })
  // Kubernetes would read it as a dollar sign.
  expect(spec.containers[0]?.command?.join(' ')).not.toContain('$$')
})

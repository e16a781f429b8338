import { expect, test } from 'vitest'
import { missingRights, neededRights, rbacManifest, roleRules } from './rights.ts'

test('the rules of a Role', () => {
  expect(roleRules).toEqual([
    {
      apiGroups: ['batch'],
      resources: ['jobs'],
      verbs: ['create', 'get', 'list', 'watch', 'patch', 'delete'],
    },
    { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch', 'patch', 'delete'] },
    { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
    { apiGroups: [''], resources: ['events'], verbs: ['list'] },
    { apiGroups: [''], resources: ['pods/exec'], verbs: ['create', 'get'] },
  ])
})

test('the rights and the rules say the same', () => {
  const ofRules = roleRules.flatMap(({ resources, verbs }) =>
    verbs.map((verb) => `${verb} ${resources?.[0]}`),
  )
  const ofRights = neededRights.map(
    ({ resource, subresource, verb }) =>
      `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`,
  )
  expect(ofRights).toEqual(ofRules)
})

test('the manifest', () => {
  expect(rbacManifest({ namespace: 'simulations', account: 'molehill' })).toBe(`apiVersion: v1
kind: ServiceAccount
metadata: { name: molehill, namespace: simulations }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: molehill, namespace: simulations }
rules:
  - { apiGroups: [batch], resources: [jobs], verbs: [create, get, list, watch, patch, delete] }
  - { apiGroups: [''], resources: [pods], verbs: [get, list, watch, patch, delete] }
  - { apiGroups: [''], resources: [pods/log], verbs: [get] }
  - { apiGroups: [''], resources: [events], verbs: [list] }
  - { apiGroups: [''], resources: [pods/exec], verbs: [create, get] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: molehill, namespace: simulations }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: molehill }
subjects:
  - { kind: ServiceAccount, name: molehill, namespace: simulations }
`)
})

test('missing rights are named, with what they are for', () => {
  const missing = neededRights.filter(({ subresource }) => subresource === 'exec' || subresource === 'log')
  expect(missingRights(missing, 'simulations')).toBe(
    'The account may not, in the namespace simulations: get pods/log; create, get pods/exec. ' +
      'Without that Molehill cannot show what jobs print; bring files to jobs and back.',
  )
})

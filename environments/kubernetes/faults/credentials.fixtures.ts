import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { setHeaderOptions } from '@kubernetes/client-node'
import { expect, test } from 'vitest'
import { EnvironmentError } from '../../../src/environment/environment.ts'
import { noSignal } from '../../../test/conformance/trial.ts'
import { until } from '../../../test/conformance/until.ts'
import type { FaultScene } from './scene.fixtures.ts'
import { roleRules } from '../cluster/rights.ts'

/** Tests of what a cluster does that cannot be reached or refuses: addresses, contexts, tokens, rights, namespaces. */
export function testRefusals(scene: FaultScene): void {
  test('an address without a cluster is an error of the environment that says so', async () => {
    const url = `https://127.0.0.1:${await freePort()}`
    await scene.use({ kubeconfig: undefined, url, token: 'any' })
    for (const ask of [() => scene.trial.environment.check(noSignal), () => scene.outcomeOf(scene.job())]) {
      await expect(ask()).rejects.toThrow(EnvironmentError)
      await expect(ask()).rejects.toThrow(/takes no connections/)
    }
  })

  test('a context that the kubeconfig has not is answered with those that it has', async () => {
    await scene.use({ context: 'production' })
    for (const { name } of scene.loaded().getContexts())
      await expect(scene.trial.environment.check(noSignal)).rejects.toThrow(new RegExp(`production.*${name}`))
    await expect(scene.outcomeOf(scene.job())).rejects.toThrow(EnvironmentError)
  })

  test('a token that is refused is an error of the environment in a sentence', async () => {
    const { url, certificateAuthority } = scene.kubernetes
    await scene.use({ kubeconfig: undefined, url, certificateAuthority, token: 'nobodys' })
    for (const ask of [() => scene.trial.environment.check(noSignal), () => scene.outcomeOf(scene.job())]) {
      await expect(ask()).rejects.toThrow(EnvironmentError)
      await expect(ask()).rejects.toThrow(/refuses the credentials: Unauthorized/)
    }
  })

  test('a token that is renewed in the kubeconfig is taken without a new start', async () => {
    const { namespace } = scene
    const account = await scene.kubernetes.makeAccount({ namespace, rules: roleRules })
    const write = async (lifetimeSeconds: number): Promise<void> => {
      const text = readFileSync(account.kubeconfig, 'utf8')
      const token = /"token": "([^"]+)"/.exec(text)?.[1] ?? ''
      writeFileSync(account.kubeconfig, text.replace(token, await account.makeToken(lifetimeSeconds)))
    }
    await write(5)
    await scene.use({ kubeconfig: account.kubeconfig })
    const handle = await scene.trial.submit(scene.job())
    expect(await scene.trial.observe(handle)).toMatchObject({ kind: 'queued' })
    const refusal = await until(
      'the token is over',
      async () => {
        const asked = await scene.outcomeOf(scene.job()).catch((error: unknown) => error)
        return asked instanceof Error ? asked : undefined
      },
      undefined,
      60_000,
    )
    expect(refusal).toBeInstanceOf(EnvironmentError)
    expect(refusal.message).toMatch(/refuses the credentials/)
    await write(3600)
    expect(await scene.outcomeOf(scene.job())).toMatchObject({ kind: 'accepted' })
    await until(
      'jobs are observed again',
      () =>
        scene.trial.observe(handle).then(
          ({ kind }) => kind,
          () => undefined,
        ),
      undefined,
      90_000,
    )
  }, 180_000)

  test('a right that is missing is named with what it is for', async () => {
    const { namespace } = scene
    const rules = roleRules.filter(({ resources }) => resources?.[0] !== 'pods/exec')
    const account = await scene.kubernetes.makeAccount({ namespace, rules })
    await scene.use({ kubeconfig: account.kubeconfig })
    const findings = await scene.trial.environment.inspect?.(noSignal)
    expect(findings?.find(({ isGood }) => !isGood)).toMatchObject({
      what: 'rights',
      message: expect.stringMatching(/create, get pods\/exec\. Without that Molehill cannot bring files/),
    })
    await expect(scene.trial.environment.check(noSignal)).rejects.toThrow(/pods\/exec/)
  })

  test('the right to make Jobs that is taken away is an error of the environment', async () => {
    const { namespace } = scene
    const account = await scene.kubernetes.makeAccount({ namespace, rules: roleRules })
    await scene.use({ kubeconfig: account.kubeconfig })
    await scene.trial.submit(scene.job())
    await account.setRules([
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['get', 'list', 'watch', 'delete'] },
    ])
    const refused = scene.outcomeOf(scene.job())
    await expect(refused).rejects.toThrow(EnvironmentError)
    await expect(refused).rejects.toThrow(/No Job may be made in the namespace .*environment check/)
    await account.setRules(roleRules)
  })

  test('a namespace that is not there is named', async () => {
    await scene.use({ namespace: 'nowhere' })
    await expect(scene.trial.environment.check(noSignal)).rejects.toThrow(/There is no namespace nowhere/)
    const refused = scene.outcomeOf(scene.job())
    await expect(refused).rejects.toThrow(EnvironmentError)
    await expect(refused).rejects.toThrow(/There is no namespace nowhere/)
  })

  test('a namespace that is being deleted takes no jobs and says so', async () => {
    const { namespace } = scene
    const name = 'holder'
    await scene.core.createNamespacedConfigMap({
      namespace,
      body: { metadata: { name, finalizers: ['test/hold'] } },
    })
    await scene.use()
    await scene.kubernetes.removeNamespace(namespace)
    try {
      await until('it is being deleted', async () => {
        const { status } = await scene.core.readNamespace({ name: namespace })
        return status?.phase === 'Terminating' || undefined
      })
      await expect(scene.trial.environment.check(noSignal)).rejects.toThrow(/is being deleted/)
      const refused = scene.outcomeOf(scene.job())
      await expect(refused).rejects.toThrow(EnvironmentError)
      await expect(refused).rejects.toThrow(/is being deleted/)
    } finally {
      const body = { metadata: { finalizers: null } }
      await scene.core.patchNamespacedConfigMap(
        { namespace, name, body },
        setHeaderOptions('Content-Type', 'application/merge-patch+json'),
      )
    }
  })
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

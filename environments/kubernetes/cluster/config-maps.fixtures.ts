import type { V1ConfigMap } from '@kubernetes/client-node'
import type { Cluster } from './cluster.ts'
import { collection, type Collection } from './collection.ts'
import type { Wire } from './wire.ts'

type WireConfigMap = Wire<V1ConfigMap>

/** Objects that nothing but tests makes: any number, of any size, that no controller touches. */
export function configMapsOf(cluster: Cluster): Collection<WireConfigMap, WireConfigMap> {
  const path = async (signal: AbortSignal) =>
    `/api/v1/namespaces/${await cluster.namespace(signal)}/configmaps`
  return collection(cluster.connection, path)
}

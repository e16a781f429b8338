import type {
  CoreV1Event,
  V1Job,
  V1Namespace,
  V1PersistentVolumeClaim,
  V1Pod,
  VersionInfo,
} from '@kubernetes/client-node'

/** An object of the client's types as it is in JSON: times are texts there. */
export type Wire<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? Wire<Item>[]
    : T extends object
      ? { [Name in keyof T]: Wire<T[Name]> }
      : T

export type WireJob = Wire<V1Job>
export type WirePod = Wire<V1Pod>
export type WireEvent = Wire<CoreV1Event>
export type WireNamespace = Wire<V1Namespace>
export type WireClaim = Wire<V1PersistentVolumeClaim>
export type WireVersion = VersionInfo

/** What every object has. */
export interface WireObject {
  readonly metadata?: {
    readonly name?: string
    readonly namespace?: string
    readonly uid?: string
    readonly resourceVersion?: string
    readonly labels?: Readonly<Record<string, string>>
  }
}

/** All objects of one kind that were asked for, and from when on a watch goes on. */
export interface Listed<T> {
  readonly items: readonly T[]
  readonly resourceVersion: string
}

/** One line of a watch, once it has been read. */
export type WatchNews<T> =
  | { readonly kind: 'object'; readonly change: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly kind: 'bookmark'; readonly resourceVersion: string }

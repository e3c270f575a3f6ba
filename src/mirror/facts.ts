import type { V1Endpoints, V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import type { MirrorAddress } from './endpoints.ts';
import type { CopyRules } from './metadata.ts';
import type { RemoteKey } from './naming.ts';

/** How a mirror's traffic travels: to the gateway itself (meshed clients), or through local egress pods (plain clients). */
export type DataPath = 'gateway' | 'relay';

/** What a Link says, as far as a mirror depends on it. */
export interface LinkFacts {
  readonly cluster: string;
  readonly clusterDomain: string;
  readonly dataPath: DataPath;
  /** The remote gateway: its identity and port; undefined when the Link names none. */
  readonly gateway: { readonly identity: string; readonly port: number } | undefined;
  readonly rules: CopyRules;
  /** Whether Endpoints are written beside EndpointSlices, for Linkerd control planes that read those. */
  readonly writeEndpoints: boolean;
}

/** Everything that decides about one mirror; gathered before, so that the verdict is a pure function. */
export interface MirrorFacts {
  readonly key: RemoteKey;
  readonly link: LinkFacts;
  /** Whether the target cluster has given a complete list; before that nothing is removed. */
  readonly synced: boolean;
  /** Whether removals are held back by the drop guard. */
  readonly removalsHeld: boolean;
  /** The exported Service, if the target exports it. */
  readonly remote: V1Service | undefined;
  /** Ready endpoints in the target; undefined while that is not known. */
  readonly remoteReady: number | undefined;
  readonly namespaceExists: boolean;
  /** The local object that has the mirror's name, if one is known. */
  readonly local: V1Service | undefined;
  readonly localSlices: readonly V1EndpointSlice[];
  readonly localEndpoints: V1Endpoints | undefined;
  /** Where the mirror's traffic goes: gateway addresses, or egress pods. */
  readonly addresses: readonly MirrorAddress[];
  /** Egress port of each service port (relay); undefined when the range is full or in gateway mode. */
  readonly egressPorts: Readonly<Record<number, number>> | undefined;
}

import type { V1Endpoints, V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import type { DataPath } from '../../api/mirror/mirror-annotations.ts';
import type { EgressPorts } from '../../api/egress/egress-ports.ts';
import type { MirrorAddress } from '../objects/mirrored-endpoints.ts';
import type { Refusal } from '../imports/import-rules.ts';
import type { ImportFacts } from '../imports/link-imports.ts';
import type { CopyRules } from '../../api/mirror/mirror-metadata.ts';
import type { RemoteKey } from '../../api/mirror/mirror-names.ts';
import type { MirrorOwner } from '../../api/mirror/ownership.ts';

/** What a Link and the controller's settings say, as far as a mirror depends on it. */
export interface LinkFacts extends MirrorOwner {
  readonly clusterDomain: string;
  readonly dataPath: DataPath;
  readonly rules: CopyRules;
  /** Whether Endpoints are written beside EndpointSlices, for Linkerd control planes that read those. */
  readonly writeEndpoints: boolean;
  /** Flat mirrors get EndpointSlices with the addresses of the remote pods, for kube-proxy. */
  readonly flatEndpoints: boolean;
  /** Headless Services get headless mirrors with one endpoint mirror for each host name. */
  readonly headless: boolean;
  readonly createNamespaces: boolean;
}

/** The gateway that a mirror goes through, and what is known of its path. */
export interface GatewayFacts {
  readonly identity: string;
  readonly port: number;
  /**
   * `resolving`: its name is being looked up for the first time; `unresolved`: it has no known address;
   * `unknown`: no address has answered its first probe yet; `alive`: at least one answers; `dead`: none does;
   * `refused`: the import policy takes none of its addresses.
   */
  readonly path: 'resolving' | 'unresolved' | 'refused' | 'unknown' | 'alive' | 'dead';
  /** Why the import policy refuses the gateway or all its addresses (`refused`), or some of them. */
  readonly refusal?: Refusal | undefined;
  /** Every address that is known now. */
  readonly known: readonly string[];
  readonly alive: readonly string[];
  /** Addresses that have not answered their first probe; kept where they are, not added anew. */
  readonly unknown: readonly string[];
  /** Set when this is not the Link's own gateway (annotation exports). */
  readonly own: boolean;
}

/** A Service of the source cluster with what belongs to it. */
export interface LocalPart {
  readonly service: V1Service | undefined;
  readonly slices: readonly V1EndpointSlice[];
  readonly endpoints: V1Endpoints | undefined;
}

/** One host of a headless Service. */
export interface HostFacts {
  readonly host: string;
  /** Name of its endpoint mirror. */
  readonly name: string;
  /**
   * Whether the pod of that name is ready; one that is not keeps its mirror, so that its ClusterIP stays,
   * without endpoints.
   */
  readonly ready: boolean;
  /** For how long its mirror still stays although it is gone; 0 while it is there. */
  readonly graceMs: number;
  readonly local: LocalPart;
}

export type NamespaceState = 'present' | 'absent' | 'terminating';

/** The exported Service as the target cluster says it is. */
export interface RemoteFacts {
  readonly key: RemoteKey;
  /** Whether the target cluster has given a complete list; before that nothing is removed. */
  readonly synced: boolean;
  /** Whether removals are held back by the drop guard. */
  readonly removalsHeld: boolean;
  /** The exported Service, if the target exports it. */
  readonly remote: V1Service | undefined;
  /** Ready endpoints in the target; undefined while that is not known. */
  readonly remoteReady: number | undefined;
  /** For how long it still counts as unknown that no slice is left; 0 when that is certain or some are. */
  readonly emptiedGraceMs: number;
  /** Its EndpointSlices, where their addresses or host names matter. */
  readonly remoteSlices: readonly V1EndpointSlice[];
  readonly imports: ImportFacts;
}

/** Where traffic goes. */
export interface PathFacts {
  /** Undefined where the Link names no gateway. */
  readonly gateway: GatewayFacts | undefined;
  /** Ready egress pods (relay). */
  readonly egress: readonly MirrorAddress[];
  /**
   * Egress port of each service port, by name of the mirror (relay); a mirror that is not in it has none: the
   * range is full, or they are not recorded yet.
   */
  readonly egressPorts: ReadonlyMap<string, EgressPorts>;
  /** Whether ports are still to stand in the record: until then nothing may lead to them. */
  readonly egressUnrecorded: boolean;
}

/** Everything that decides about one mirror; gathered before, so that the verdict is a pure function. */
export interface MirrorFacts extends RemoteFacts, PathFacts {
  readonly link: LinkFacts;
  /**
   * Whether the export asks for a flat mirror (`remoteDiscoverySelector`) rather than one through the
   * gateway.
   */
  readonly flat: boolean;
  readonly namespace: NamespaceState;
  /** The local object that has the mirror's name, if one is known, and its endpoints. */
  readonly local: LocalPart;
  /** Hosts of a headless Service, with the endpoint mirrors that exist. */
  readonly hosts: readonly HostFacts[];
  /** Endpoint mirrors that exist for hosts that are gone. */
  readonly formerHosts: readonly LocalPart[];
}

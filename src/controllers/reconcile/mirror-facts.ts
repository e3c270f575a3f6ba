import type { V1Endpoints, V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import type { DataPath } from '../../api/mirror/mirror-annotations.ts';
import type { EgressPorts } from '../../api/egress/egress-ports.ts';
import type { MirrorAddress } from '../objects/mirrored-endpoints.ts';
import type { Refusal } from '../imports/import-rules.ts';
import type { ImportFacts } from '../imports/link-imports.ts';
import type { CopyRules } from '../../api/mirror/mirror-metadata.ts';
import type { RemoteKey } from '../../api/mirror/mirror-names.ts';
import type { MirrorOwner } from '../../api/mirror/ownership.ts';

/** What a Link and the controller's settings say, as far as mirrors depend on it. */
export interface LinkFacts extends MirrorOwner {
  /** DNS domain of the target cluster. */
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

/** The gateway that an export's traffic goes through, and what is known of its addresses. */
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
  /**
   * Addresses of which probes have not shown yet whether they answer: they stay where they are, and are not
   * added.
   */
  readonly unknown: readonly string[];
  /**
   * Addresses that answer their probes and that at least half of the egress pods cannot reach: not alive.
   * Default: none.
   */
  readonly unreached?: readonly string[];
  /**
   * Whether it is dead together with all others, so that this cluster's own network is suspected: what nobody
   * else could serve is not withdrawn because of it. Default: no.
   */
  readonly doubted?: boolean;
  /** Whether the export names it by annotation; otherwise it is the Link's gateway. */
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
  /** For how many milliseconds its mirror still stays although the host is gone; 0 while it is there. */
  readonly graceMs: number;
  readonly local: LocalPart;
}

/** `terminating`: it is being deleted, so that nothing can be made in it. */
export type NamespaceState = 'present' | 'absent' | 'terminating';

/** The exported Service as the target cluster says it is, and how far that is believed. */
export interface RemoteFacts {
  readonly key: RemoteKey;
  /** Whether the target cluster has given a complete list; before that nothing is removed. */
  readonly synced: boolean;
  /** Whether the drop guard holds back the removal of what stands here for it. */
  readonly removalsHeld: boolean;
  /** The exported Service, if the target exports it. */
  readonly remote: V1Service | undefined;
  /** How many endpoints are ready in the target; undefined: it is not known. */
  readonly remoteReady: number | undefined;
  /**
   * For how many milliseconds the loss of all its slices is not believed yet; 0: it is, or there are slices.
   */
  readonly emptiedGraceMs: number;
  /** Its EndpointSlices, where their addresses or host names matter. */
  readonly remoteSlices: readonly V1EndpointSlice[];
  readonly imports: ImportFacts;
  /** The facts of failover that its slices are to carry; undefined: none. */
  readonly factsText?: string | undefined;
}

/** The path of an export's traffic. */
export interface PathFacts {
  /** Undefined where the Link names no gateway. */
  readonly gateway: GatewayFacts | undefined;
  /** Ready egress pods (relay). */
  readonly egress: readonly MirrorAddress[];
  /**
   * The egress port of each service port, by name of the Service here (relay). One that is not in it has
   * none: the range is full, or its ports are not recorded yet.
   */
  readonly egressPorts: ReadonlyMap<string, EgressPorts>;
  /**
   * The egress ports that lead to all members of a federated Service, by service port, by name of the Service
   * here. One that is not in it has none, or not all egress pods serve such ports.
   */
  readonly egressGroups: ReadonlyMap<string, EgressPorts>;
  /** Whether ports have been chosen and are not in the record yet: until then nothing may lead to them. */
  readonly egressUnrecorded: boolean;
}

/**
 * Everything on which the verdict about one mirror depends: gathered before, so that it is a pure function of
 * this.
 */
export interface MirrorFacts extends RemoteFacts, PathFacts {
  readonly link: LinkFacts;
  /**
   * Whether the export asks for a flat mirror (`remoteDiscoverySelector`) rather than one through the
   * gateway.
   */
  readonly flat: boolean;
  readonly namespace: NamespaceState;
  /** The Service here that has the mirror's name, if there is one, with its endpoints. */
  readonly local: LocalPart;
  /** Hosts of a headless Service, with the endpoint mirrors that exist. */
  readonly hosts: readonly HostFacts[];
  /** Endpoint mirrors that exist for hosts that are gone. */
  readonly formerHosts: readonly LocalPart[];
}

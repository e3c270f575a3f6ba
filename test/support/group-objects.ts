import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { type FailoverDrain, writeDrain } from '../../src/api/failover/failover-drain.ts';
import { type FailoverFacts, writeFacts } from '../../src/api/failover/failover-facts.ts';
import { FAILOVER_DRAIN, FAILOVER_POLICY, FAILOVER_TIERS } from '../../src/api/failover/failover-names.ts';
import type { LinkObject } from '../../src/api/link/link-schema.ts';
import {
  entriesAnnotation,
  federatedName,
  LOCAL_MEMBER,
  localMemberAnnotation,
  memberEntry,
  memberLabel,
} from '../../src/api/mirror/federated-members.ts';
import { mirrorLabels } from '../../src/api/mirror/mirror-labels.ts';
import { factsAnnotation } from '../../src/api/mirror/slice-facts.ts';
import { SERVICE_NAME_LABEL } from '../../src/exports/endpoint-slices.ts';
import { BY_SERVICE, sliceService } from '../../src/exports/slices-by-service.ts';
import { IndexedStore } from '../../src/kube/informer/store.ts';

/** What a test says of one member of a group; facts that are not given are those of a healthy one. */
export interface SaidOfMember {
  /** `null`: nothing is known of it. */
  readonly facts?: Partial<FailoverFacts> | null;
  readonly drain?: FailoverDrain | undefined;
}

/** What a test says of the group of `demo/web-federated`, or of another Service. */
export interface SaidOfGroup {
  readonly service?: string;
  /** By cluster; `local` is the source cluster itself. */
  readonly members: Readonly<Record<string, SaidOfMember>>;
  readonly tiers?: string;
  readonly policy?: string;
}

/** The objects of which egress and controller make a group. */
export interface GroupObjects {
  readonly services: readonly V1Service[];
  readonly slices: readonly V1EndpointSlice[];
  readonly links: readonly LinkObject[];
}

/** Ten ready endpoints, always. */
export const HEALTHY: FailoverFacts = {
  path: 'alive',
  ready: 10,
  known: 10,
  expected: 10,
  usableSince: 0,
  flaps: 0,
  lastWord: 0,
};

let versions = 0;
/** Each object is another version. */
const version = () => ({ uid: 'one', resourceVersion: String(++versions) });
const memberOf = (name: string) => (name === 'local' ? LOCAL_MEMBER : name);

/** A slice of a member, with its facts. */
export function factsSlice(service: string, name: string, { facts = {} }: SaidOfMember): V1EndpointSlice {
  const member = memberOf(name);
  return {
    metadata: {
      ...version(),
      name: `${federatedName(service)}-${name}`,
      namespace: 'demo',
      labels: {
        ...mirrorLabels({ cluster: memberLabel(member) }),
        [SERVICE_NAME_LABEL]: federatedName(service),
      },
      ...(facts === null ? {} : { annotations: factsAnnotation(writeFacts({ ...HEALTHY, ...facts })) }),
    },
    addressType: 'IPv4',
    endpoints: [],
  };
}

/** The Link of a cluster. */
export function linkOfCluster(cluster: string, { drain }: SaidOfMember): LinkObject {
  return {
    metadata: {
      ...version(),
      name: cluster,
      namespace: 'links',
      ...(drain === undefined ? {} : { annotations: { [FAILOVER_DRAIN]: writeDrain(drain) } }),
    },
    spec: { targetClusterName: cluster },
  } as LinkObject;
}

/** The federated Service, the slices and the Links of a group. */
export function groupObjects({ service = 'web', members, tiers, policy }: SaidOfGroup): GroupObjects {
  const names = Object.keys(members);
  const remote = names.filter((name) => name !== 'local');
  const metadata = {
    ...version(),
    name: federatedName(service),
    namespace: 'demo',
    labels: mirrorLabels({}),
    annotations: {
      ...entriesAnnotation(remote.map((name) => memberEntry(service, name))),
      ...(names.includes('local') ? localMemberAnnotation(service) : {}),
      ...(tiers === undefined ? {} : { [FAILOVER_TIERS]: tiers }),
      ...(policy === undefined ? {} : { [FAILOVER_POLICY]: policy }),
    },
  };
  return {
    services: [{ metadata, spec: { ports: [{ port: 80 }] } }],
    slices: Object.entries(members).map(([name, said]) => factsSlice(service, name, said)),
    links: remote.map((name) => linkOfCluster(name, members[name] ?? {})),
  };
}

/** Stores as the egress fills them from its watches. */
export class GroupStores {
  readonly mirrors = new IndexedStore<V1Service>();
  readonly slices = new IndexedStore<V1EndpointSlice>({ [BY_SERVICE]: sliceService });
  readonly links = new IndexedStore<LinkObject>();

  /** Adds and changes what these objects say; others stay. */
  put({ services, slices, links }: GroupObjects): void {
    for (const one of services) this.mirrors.set(one);
    for (const one of slices) this.slices.set(one);
    for (const one of links) this.links.set(one);
  }
}

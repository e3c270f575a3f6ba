import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { type FailoverFacts, writeFacts } from '../../../src/api/failover/failover-facts.ts';
import { FAILOVER_FACTS } from '../../../src/api/failover/failover-names.ts';
import type { LinkObject } from '../../../src/api/link/link-schema.ts';
import type { DrainObjects } from '../../../src/drains/drain-plan.ts';
import { HEALTHY } from '../../support/group-objects.ts';

/** The time of the tests of this folder. */
export const NOW = Date.UTC(2026, 10, 29, 14);

/** A Link of a cluster. */
export function link(cluster: string, annotations: Record<string, string> = {}, day = 1): LinkObject {
  const creationTimestamp = new Date(Date.UTC(2026, 0, day));
  const metadata = { name: cluster, namespace: 'links', uid: `uid-${cluster}`, resourceVersion: '7' };
  return { metadata: { ...metadata, annotations, creationTimestamp }, spec: { targetClusterName: cluster } };
}

/** A federated Service with members in these clusters. */
export function federated(
  name: string,
  clusters: readonly string[],
  annotations: Record<string, string> = {},
): V1Service {
  const remote = clusters.map((cluster) => `${name}@${cluster}`).join(',');
  return {
    metadata: {
      name: `${name}-federated`,
      namespace: 'shop',
      uid: `uid-${name}`,
      resourceVersion: '9',
      labels: { 'mirror.linkerd.io/mirrored-service': 'true' },
      annotations: { 'multicluster.linkerd.io/remote-discovery': remote, ...annotations },
    },
  };
}

/** The slice of a member. */
export function slice(name: string, cluster: string, its: Partial<FailoverFacts> = {}): V1EndpointSlice {
  const facts = { ...HEALTHY, lastWord: NOW, ...its };
  return {
    metadata: {
      name: `${name}-federated-${cluster}`,
      namespace: 'shop',
      labels: {
        'mirror.linkerd.io/mirrored-service': 'true',
        'mirror.linkerd.io/cluster-name': cluster,
        'kubernetes.io/service-name': `${name}-federated`,
      },
      annotations: { [FAILOVER_FACTS]: writeFacts(facts) },
    },
    addressType: 'IPv4',
    endpoints: [],
  };
}

/** Two clusters with the Service `web`, and `api` in one of them. */
export function objects(change: Partial<DrainObjects> = {}): DrainObjects {
  return {
    services: [federated('web', ['west', 'north']), federated('api', ['north'])],
    slices: [slice('web', 'west'), slice('web', 'north'), slice('api', 'north')],
    links: [link('west'), link('north')],
    ...change,
  };
}

import type { V1Service } from '@kubernetes/client-node';
import type { DesiredPart } from '../../src/controllers/mirror/desired-mirror.ts';
import type { GatewayFacts, LocalPart, MirrorFacts } from '../../src/controllers/reconcile/mirror-facts.ts';
import { TAKES_ALL } from '../../src/controllers/imports/link-imports.ts';
import { decide } from '../../src/controllers/mirror/mirror-verdict.ts';

/** An exported Service `demo/web` as a target cluster would hold it. */
export function exportedService(change: Partial<V1Service> = {}): V1Service {
  return {
    metadata: {
      name: 'web',
      namespace: 'demo',
      uid: 'remote-uid',
      resourceVersion: '100',
      labels: { 'mirror.linkerd.io/exported': 'true', team: 'blue' },
      annotations: { note: 'hello' },
      ...change.metadata,
    },
    spec: {
      type: 'ClusterIP',
      ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }],
      ...change.spec,
    },
  };
}

/** A gateway at `10.0.0.1` that answers its probes. */
export function aliveGateway(change: Partial<GatewayFacts> = {}): GatewayFacts {
  return {
    identity: 'gw.identity',
    port: 4143,
    path: 'alive',
    known: ['10.0.0.1'],
    alive: ['10.0.0.1'],
    unknown: [],
    own: false,
    ...change,
  };
}

/** Nothing local. */
export const nothing: LocalPart = { service: undefined, slices: [], endpoints: undefined };

/**
 * Facts of `demo/web` of cluster west, exported, synced, nothing local yet; override what the case is about.
 */
export function mirrorFacts(change: Partial<MirrorFacts> = {}): MirrorFacts {
  return {
    key: { namespace: 'demo', name: 'web' },
    link: {
      cluster: 'west',
      link: 'links/west',
      clusterDomain: 'cluster.local',
      dataPath: 'gateway',
      rules: { excludedLabel: () => false, excludedAnnotation: () => false },
      writeEndpoints: false,
      flatEndpoints: false,
      headless: false,
      createNamespaces: false,
    },
    synced: true,
    removalsHeld: false,
    remote: exportedService(),
    remoteReady: 2,
    emptiedGraceMs: 0,
    remoteSlices: [],
    imports: TAKES_ALL,
    flat: false,
    namespace: 'present',
    local: nothing,
    hosts: [],
    formerHosts: [],
    gateway: aliveGateway(),
    egress: [],
    egressPorts: new Map(),
    egressGroups: new Map(),
    egressUnrecorded: false,
    ...change,
  };
}

/** The objects that `decide` wants for these facts, the mirror first; fails when it wants no mirror. */
export function desiredParts(facts: MirrorFacts): readonly DesiredPart[] {
  const verdict = decide(facts);
  if (verdict.action !== 'mirror')
    throw new Error(`expected a mirror, got ${verdict.action} (${verdict.reason})`);
  return verdict.parts;
}

/** The mirror that `decide` wants. */
export function desiredFor(facts: MirrorFacts): DesiredPart {
  const [part] = desiredParts(facts);
  if (part === undefined) throw new Error('a mirror has at least one part');
  return part;
}

/** A part as the API server would hold it after it was written. */
export function stored(part: DesiredPart, clusterIP = '10.96.0.7'): LocalPart {
  const name = part.service.metadata?.name ?? '';
  const uid = `uid-${name}`;
  const service: V1Service = {
    ...part.service,
    metadata: { ...part.service.metadata, uid, resourceVersion: '7' },
    spec: { clusterIP, ...part.service.spec },
  };
  const ownerReferences = [{ apiVersion: 'v1', kind: 'Service', name, uid }];
  const slices = part.slices.map((slice) => ({
    ...slice,
    metadata: { ...slice.metadata, ownerReferences },
  }));
  return { service, slices, endpoints: part.endpoints };
}

/** The facts after everything that was desired has been written. */
export function written(facts: MirrorFacts): MirrorFacts {
  const [mirror, ...hosts] = desiredParts(facts);
  const byName = new Map(
    hosts.map((part, index) => [part.service.metadata?.name, stored(part, `10.96.1.${index + 1}`)]),
  );
  return {
    ...facts,
    local: mirror === undefined ? nothing : stored(mirror),
    hosts: facts.hosts.map((host) => ({ ...host, local: byName.get(host.name) ?? host.local })),
  };
}

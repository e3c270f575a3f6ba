import type { V1Service } from '@kubernetes/client-node';
import type { MirrorFacts } from '../../src/mirror/facts.ts';
import { decide, type DesiredMirror } from '../../src/mirror/verdict.ts';

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

/** Facts of `demo/web` of cluster west, exported, synced, nothing local yet; override what the case is about. */
export function mirrorFacts(change: Partial<MirrorFacts> = {}): MirrorFacts {
  return {
    key: { namespace: 'demo', name: 'web' },
    link: {
      cluster: 'west',
      clusterDomain: 'cluster.local',
      dataPath: 'gateway',
      gateway: { identity: 'gw.identity', port: 4143 },
      rules: { excludedLabel: () => false, excludedAnnotation: () => false },
      writeEndpoints: false,
    },
    synced: true,
    removalsHeld: false,
    remote: exportedService(),
    remoteReady: 2,
    namespaceExists: true,
    local: undefined,
    localSlices: [],
    localEndpoints: undefined,
    addresses: [{ ip: '10.0.0.1' }],
    egressPorts: undefined,
    ...change,
  };
}

/** What `decide` wants for these facts; fails when it wants no mirror. */
export function desiredFor(facts: MirrorFacts): DesiredMirror {
  const verdict = decide(facts);
  if (verdict.action !== 'mirror')
    throw new Error(`expected a mirror, got ${verdict.action} (${verdict.reason})`);
  return verdict.desired;
}

/** The facts after everything that was desired has been written. */
export function written(facts: MirrorFacts): MirrorFacts {
  const desired = desiredFor(facts);
  const local: V1Service = {
    ...desired.service,
    metadata: { ...desired.service.metadata, uid: 'local-uid', resourceVersion: '7' },
  };
  const ownerReferences = [
    { apiVersion: 'v1', kind: 'Service', name: local.metadata?.name ?? '', uid: 'local-uid' },
  ];
  const localSlices = desired.slices.map((slice) => ({
    ...slice,
    metadata: { ...slice.metadata, ownerReferences },
  }));
  return { ...facts, local, localSlices, localEndpoints: desired.endpoints };
}

import type { MemberFacts } from '../../src/controllers/federated/member-facts.ts';
import { TAKES_ALL } from '../../src/controllers/imports/link-imports.ts';
import { aliveGateway, exportedService, nothing } from './mirror-facts.ts';

/**
 * Facts of `demo/web` of cluster west, a member of `web-federated`, synced, nothing local yet; override what
 * the case is about.
 */
export function memberFacts(change: Partial<MemberFacts> = {}): MemberFacts {
  return {
    key: { namespace: 'demo', name: 'web' },
    member: 'west',
    link: 'links/west',
    rules: { excludedLabel: () => false, excludedAnnotation: () => false },
    createNamespaces: false,
    union: 'none',
    synced: true,
    removalsHeld: false,
    remote: exportedService(),
    remoteReady: 2,
    emptiedGraceMs: 0,
    remoteSlices: [],
    imports: TAKES_ALL,
    namespace: 'present',
    federated: nothing,
    strangers: [],
    leads: true,
    gateway: aliveGateway(),
    egress: [{ ip: '10.1.0.1' }],
    egressPorts: new Map(),
    egressGroups: new Map(),
    egressUnrecorded: false,
    ...change,
  };
}

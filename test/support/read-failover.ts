import { isExportedByAnnotation, overBudgetOf } from '../../src/api/exports/export-marks.ts';
import { accountOfToken } from '../../src/api/credentials/account-token.ts';
import { readBackendFacts } from '../../src/api/failover/backend-facts.ts';
import { FAILOVER_BACKEND_FACTS } from '../../src/api/failover/failover-names.ts';
import type { KubeObject } from '../../src/api/kubernetes/resource.ts';
import { type Annotations, readAnnotation } from '../../src/api/annotations.ts';
import { failoverTexts, settledTexts, writtenTexts } from '../../src/api/mirror/failover-texts.ts';
import { localMemberOf } from '../../src/api/mirror/federated-members.ts';
import {
  egressPortsOf,
  notReadyOf,
  ownGatewayOf,
  remoteVersionOf,
} from '../../src/api/mirror/mirror-annotations.ts';
import { serviceDrainProblems } from '../../src/api/mirror/service-drain.ts';
import { factsOf } from '../../src/api/mirror/slice-facts.ts';
import { linksFailover } from '../../src/discovery/failover-links.ts';
import { standingDrill } from '../../src/drains/drill-write.ts';
import { planGatewayUndrain } from '../../src/drains/gateway-drain.ts';
import { readFailoverPolicy } from '../../src/policy/failover/failover-policy-text.ts';
import { settleTexts } from '../../src/policy/failover/settled-texts.ts';
import { readTiers } from '../../src/policy/failover/tiers.ts';
import { keptOf, unreleased } from '../../src/policy/weights/release.ts';
import { primaryOf, readLists, subjectsOf, weightedKind } from '../../src/policy/weights/weighted-object.ts';

const DOMAIN = 'cluster.local';
const KINDS = ['TrafficSplit', 'HTTPRoute', 'GRPCRoute', 'ServiceProfile'] as const;

/** The spec of a TrafficSplit, a route or a ServiceProfile in which all that may be text is this one. */
export function weightedSpec(text: string): object {
  const backend = { service: text, name: text, authority: text, namespace: text, kind: text, weight: text };
  const refs = [backend, { ...backend, weight: 1 }];
  return {
    service: text,
    backends: refs,
    dstOverrides: refs,
    parentRefs: [{ name: text, namespace: text, kind: text, group: text }],
    rules: [{ name: text, backendRefs: refs }],
  };
}

/** All that is done with an object whose weights are written, in each kind that there is. */
export function readWeighted(object: KubeObject & { readonly spec?: unknown }): void {
  for (const name of KINDS) {
    const kind = weightedKind(name);
    // What has been read of an object is kept.
    const one = { ...object };
    readLists(kind, one, DOMAIN);
    subjectsOf(kind, one, DOMAIN);
    unreleased(kind, one, DOMAIN);
    keptOf(one);
    primaryOf(one);
  }
}

/**
 * Everything that is done with what is written about failover and drains on a Service, an EndpointSlice, a
 * Link and an object with weights; and what only says how a mirror is.
 */
export function readFailover(annotations: Annotations): void {
  const metadata = { name: 'web', namespace: 'demo', uid: 'u', annotations: annotations as never };
  const { tiers, policy } = failoverTexts(annotations);
  readTiers(tiers);
  readFailoverPolicy(policy);
  settleTexts(writtenTexts(annotations), settledTexts(annotations));
  serviceDrainProblems(annotations, new Set(['west']), 0);
  factsOf([{ metadata, addressType: 'IPv4', endpoints: [] }]);
  readBackendFacts(readAnnotation(annotations, FAILOVER_BACKEND_FACTS));
  linksFailover([{ metadata, spec: { targetClusterName: 'west' } } as never]);
  standingDrill({ metadata }, 0);
  planGatewayUndrain({ metadata }, 0);
  readWeighted({ metadata, spec: weightedSpec('web') });
  for (const read of [ownGatewayOf, notReadyOf, egressPortsOf, overBudgetOf, accountOfToken, localMemberOf])
    read({ metadata });
  remoteVersionOf(annotations);
  isExportedByAnnotation({ metadata });
}

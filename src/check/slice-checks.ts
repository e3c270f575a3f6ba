import { componentOf } from '../api/installed-labels.ts';
import type { V1Deployment, V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { endpointSlices, keyOf, services } from '../api/kubernetes/resource.ts';
import { MANAGER } from '../api/names.ts';
import { SERVICE_NAME_LABEL } from '../exports/endpoint-slices.ts';
import { DEFAULT_EXPORT_SELECTORS } from '../discovery/kube-targets.ts';
import {
  type HandMadeSlicesAllowed,
  handMadeSlicesIn,
  isHandMade,
  KNOWN_SLICE_MAKERS,
  MANAGED_BY_LABEL,
} from '../exports/slice-makers.ts';
import { type ClusterCheck, type CheckFinding, MAX_LINES, skipped, passedUnless } from './check.ts';
import type { CheckFacts } from './check-facts.ts';

const FLAG = '--hand-made-slices';

/**
 * Check for exports with hand-made EndpointSlices, which the gateway serves only where it is configured to.
 */
export function sliceChecks(facts: CheckFacts): ClusterCheck[] {
  return [
    {
      id: 'linkspan-hand-made-slices',
      text: 'the gateway serves the slices of every exported Service',
      severity: 'warning',
      run: async () => {
        const gateway = await gatewayOf(facts);
        return gateway === undefined ? skipped('there is no gateway here') : unserved(facts, gateway);
      },
    },
  ];
}

/** The same for `check --pre`: Linkerd's gateway, which ours replaces, serves all slices. */
export function slicePreChecks(facts: CheckFacts): ClusterCheck[] {
  return [
    {
      id: 'linkspan-pre-hand-made-slices',
      text: 'the gateway would serve the slices of every exported Service',
      severity: 'warning',
      run: async () => unserved(facts, await gatewayOf(facts)),
    },
  ];
}

async function gatewayOf(facts: CheckFacts): Promise<V1Deployment | undefined> {
  return (await facts.deployments()).find((deployment) => componentOf(deployment) === 'gateway');
}

/** @param gateway undefined before the installation: then with the default, which serves none */
async function unserved(facts: CheckFacts, gateway: V1Deployment | undefined): Promise<CheckFinding> {
  const isServed = handMadeSlicesIn(gateway === undefined ? [] : namespacesOf(gateway));
  const known = [...KNOWN_SLICE_MAKERS, MANAGER].join(',');
  const labelSelector = `${SERVICE_NAME_LABEL},${MANAGED_BY_LABEL} notin (${known})`;
  const [{ items: slices }, ...exported] = await Promise.all([
    facts.client.list(endpointSlices, { labelSelector }),
    ...DEFAULT_EXPORT_SELECTORS.map((selector) => facts.client.list(services, { labelSelector: selector })),
  ]);
  const exports = exported.flatMap(({ items }) => items);
  return passedUnless(unservedLines(slices, exports, isServed).slice(0, MAX_LINES), 'warning');
}

/** A line for each slice of an export that the gateway does not serve. Pure. */
export function unservedLines(
  slices: readonly V1EndpointSlice[],
  exports: readonly V1Service[],
  isServed: HandMadeSlicesAllowed,
): string[] {
  const exported = new Set(exports.map(keyOf));
  return slices.flatMap((slice) => {
    const { name = '', namespace = '', labels } = slice.metadata ?? {};
    const service = `${namespace}/${labels?.[SERVICE_NAME_LABEL] ?? ''}`;
    if (!isHandMade(slice) || isServed(namespace) || !exported.has(service)) return [];
    return [
      `${service}: EndpointSlice ${name} was made by hand; gateway.handMadeSlices does not name ${namespace}`,
    ];
  });
}

/** The values of `--hand-made-slices` in the arguments of a gateway's container. */
function namespacesOf({ spec }: V1Deployment): string[] {
  const args = (spec?.template.spec?.containers ?? []).flatMap((container) => container.args ?? []);
  const start = args.indexOf(FLAG);
  if (start < 0) return [];
  const rest = args.slice(start + 1);
  const end = rest.findIndex((arg) => arg.startsWith('-'));
  return end < 0 ? rest : rest.slice(0, end);
}

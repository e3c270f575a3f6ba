import { annotatedGateway } from '../api/exports/export-marks.ts';
import { isMirrored } from '../api/mirror/mirror-labels.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import { IMPORT_GATEWAYS } from '../api/names.ts';
import { plainName } from '../base/dns-name.ts';
import { neverRemote } from '../base/ip-ranges.ts';
import { isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { listPages } from '../kube/client/list-pages.ts';
import { services } from '../api/kubernetes/resource.ts';
import { isHostName, type AllowedGateway } from '../api/link/import-policy.ts';
import { gatewayFacts } from './link-gen.ts';
import type { TargetGatewayFacts, NamedGateway } from './link-manifests.ts';
import type { Link } from '../api/link/link-schema.ts';

/** What becomes of a gateway that an export names. */
export type GatewayDecision =
  /** It is the Link's: its addresses, its probes. */
  | { readonly kind: 'link' }
  /** It is in the Link's list. */
  | ({ readonly kind: 'allowed' } & AllowedGateway)
  | { readonly kind: 'refused'; readonly message: string };

/**
 * Whether the source's admin has allowed a gateway that an export names. What the target says of it only
 * picks one that the admin wrote down: addresses, port and identity that are used are the admin's. Pure.
 * @param gateway `namespace/name`, for the message
 */
export function decideGateway(
  gateway: string,
  named: TargetGatewayFacts,
  link: Pick<Link, 'gateway' | 'imports'>,
): GatewayDecision {
  if (link.gateway !== undefined && agrees(named, link.gateway)) return { kind: 'link' };
  for (const allowed of link.imports.gateways)
    if (agrees(named, allowed)) {
      const said = new Set(named.addresses.map(plainName));
      return {
        kind: 'allowed',
        ...allowed,
        addresses: allowed.addresses.filter((one) => said.has(plainName(one))),
      };
    }
  return {
    kind: 'refused',
    message: `gateway ${gateway} (${gatewayText(named)}) is neither the Link's own nor in its annotation ${IMPORT_GATEWAYS}`,
  };
}

/**
 * One port, one identity, and an address in common: others that a load balancer has got since are not used.
 */
function agrees(
  named: TargetGatewayFacts,
  known: Pick<AllowedGateway, 'addresses' | 'port' | 'identity'>,
): boolean {
  if (named.identity !== known.identity || named.port !== known.port) return false;
  const addresses = new Set(known.addresses.map(plainName));
  return named.addresses.some((address) => addresses.has(plainName(address)));
}

/** A gateway in words that another cluster cannot make endless. */
export function gatewayText({
  addresses,
  port,
  identity,
}: Pick<TargetGatewayFacts, 'addresses' | 'port' | 'identity'>): string {
  const shown = addresses.slice(0, 3).map((one) => one.slice(0, 100));
  return `${shown.join(', ')}${addresses.length > 3 ? ', …' : ''} port ${port}, identity ${identity.slice(0, 200)}`;
}

/** Different gateways that are looked at; a target with more has them by somebody's malice or mistake. */
export const MAX_NAMED = 32;
const MAX_PAGES = 200;

/**
 * Reads which gateways the exports of a target name. Every Service is looked at, as annotations cannot be
 * selected by.
 * @throws what the client throws
 */
export async function readNamedGateways(client: KubeClient): Promise<NamedGateway[]> {
  const counts = new Map<string, number>();
  let pages = 0;
  for await (const page of listPages(client, services, {})) {
    for (const service of page.items) {
      if (isMirrored(service)) continue;
      const gateway = annotatedGateway(service);
      if (gateway !== undefined && (counts.has(gateway) || counts.size < MAX_NAMED))
        counts.set(gateway, (counts.get(gateway) ?? 0) + 1);
    }
    if (++pages === MAX_PAGES) break;
  }
  const sorted = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  return Promise.all(
    sorted.map(async ([gateway, exports]) => ({ gateway, exports, ...(await readOne(client, gateway)) })),
  );
}

async function readOne(
  client: KubeClient,
  gateway: string,
): Promise<Pick<NamedGateway, 'facts' | 'problem'>> {
  const slash = gateway.indexOf('/');
  const ref = { namespace: gateway.slice(0, slash), name: gateway.slice(slash + 1) };
  try {
    const facts = gatewayFacts(await client.get(services, ref), { ...ref, addresses: [], port: undefined });
    return { facts, problem: undefined };
  } catch (error) {
    return { facts: undefined, problem: isNotFound(error) ? 'there is no such Service' : messageOf(error) };
  }
}

/**
 * What `link` writes down of a target's named gateways: those that are not the Link's own, with addresses
 * that another cluster can have.
 */
export function gatewaysToAllow(
  named: readonly NamedGateway[],
  own: Pick<AllowedGateway, 'addresses' | 'port' | 'identity'> | undefined,
): (AllowedGateway & { readonly name: string })[] {
  return named.flatMap(({ gateway, facts }) => {
    if (facts === undefined || (own !== undefined && agrees(facts, own))) return [];
    const addresses = facts.addresses.filter((one) => neverRemote(one) === undefined || isHostName(one));
    const { port, identity } = facts;
    return addresses.length === 0
      ? []
      : [{ name: gateway, addresses, port, identity, probePort: facts.probe.port }];
  });
}

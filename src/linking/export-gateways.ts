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

/** Whether a gateway that an export names by annotation is used. */
export type GatewayDecision =
  /** It is the Link's own gateway. */
  | { readonly kind: 'link' }
  /** It is in the Link's list of allowed gateways. */
  | ({ readonly kind: 'allowed' } & AllowedGateway)
  | { readonly kind: 'refused'; readonly message: string };

/**
 * Whether the source's admin has allowed a gateway that an export names. The target's annotation only selects
 * an entry of the admin's list, whose addresses, port and identity are used. Pure.
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
 * Whether both have the same port and identity, and an address in common. Further addresses that a load
 * balancer has got since are not used.
 */
function agrees(
  named: TargetGatewayFacts,
  known: Pick<AllowedGateway, 'addresses' | 'port' | 'identity'>,
): boolean {
  if (named.identity !== known.identity || named.port !== known.port) return false;
  const addresses = new Set(known.addresses.map(plainName));
  return named.addresses.some((address) => addresses.has(plainName(address)));
}

/** A gateway for people, in bounded length, because another cluster wrote its values. */
export function gatewayText({
  addresses,
  port,
  identity,
}: Pick<TargetGatewayFacts, 'addresses' | 'port' | 'identity'>): string {
  const shown = addresses.slice(0, 3).map((one) => one.slice(0, 100));
  return `${shown.join(', ')}${addresses.length > 3 ? ', …' : ''} port ${port}, identity ${identity.slice(0, 200)}`;
}

/** Most different gateways that are considered; a target with more has them by mistake or malice. */
export const MAX_NAMED_GATEWAYS = 32;
const MAX_PAGES = 200;

/**
 * Reads which gateways the exports of a target name. Lists all Services, because annotations cannot be
 * selected.
 * @throws what the client throws
 */
export async function readNamedGateways(client: KubeClient): Promise<NamedGateway[]> {
  const counts = new Map<string, number>();
  let pages = 0;
  for await (const page of listPages(client, services, {})) {
    for (const service of page.items) {
      if (isMirrored(service)) continue;
      const gateway = annotatedGateway(service);
      if (gateway !== undefined && (counts.has(gateway) || counts.size < MAX_NAMED_GATEWAYS))
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
 * The entries that `link` writes into a Link's list: the target's named gateways except the Link's own one,
 * with those of their addresses that another cluster can have.
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

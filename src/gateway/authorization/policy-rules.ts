import { GATEWAY_PORT_NAME } from '../../api/names.ts';
import type { KubeObject } from '../../api/kubernetes/resource.ts';
import { matchesSelector } from './label-match.ts';
import type {
  AuthorizationPolicy,
  MeshTlsAuthentication,
  NetworkAuthentication,
  HttpLocalRateLimitPolicy,
  Server,
  ServerAuthorization,
} from '../../api/linkerd/linkerd-kinds.ts';
import type { Workload } from './workload.ts';

/** The policies and workloads of a cluster, as a source of facts. */
export interface PolicyFacts {
  servers(namespace: string): readonly Server[];
  authorizationPolicies(namespace: string): readonly AuthorizationPolicy[];
  serverAuthorizations(namespace: string): readonly ServerAuthorization[];
  meshTlsAuthentication(namespace: string, name: string): MeshTlsAuthentication | undefined;
  networkAuthentication(namespace: string, name: string): NetworkAuthentication | undefined;
  rateLimits(namespace: string): readonly HttpLocalRateLimitPolicy[];
  /** Workloads at an address, in any namespace. */
  workloadsAt(address: string): readonly Workload[];
  /** The gateway's own pod, by name. */
  pod(namespace: string, name: string): Workload | undefined;
}

/** The endpoints of one target. */
export interface Destination {
  readonly namespace: string;
  readonly endpoints: readonly { readonly host: string; readonly port: number }[];
}

/** The pod that the gateway runs in. */
export interface OwnPod {
  readonly namespace: string;
  readonly name: string;
  /** The port on which it listens for other clusters. */
  readonly port: number;
}

/** A rule that must allow a client. */
export type Rule =
  | { readonly kind: 'server'; readonly server: Server }
  /** The default policy of a workload's port that no Server selects. */
  | { readonly kind: 'default'; readonly policy: string };

/**
 * Port names by which Servers may select the gateway's port: Linkerd's gateway is its proxy's inbound port,
 * and Linkerd's chart selects it by that name.
 */
const OWN_PORT_NAMES: readonly string[] = ['linkerd-proxy', GATEWAY_PORT_NAME];

/**
 * The rules that must all allow a client of a target: each Server that selects one of its endpoints and, for
 * endpoints without a Server, the default policy of their pods. In a fixed order, without duplicates. Pure.
 *
 * Servers are taken from the pod's namespace, which need not be the Service's: a hand-made slice can name any
 * pod, and the rules of the pod's owner apply.
 *
 * Where no pod is known at the addresses (its endpoints arrived before the pod, or were made by hand), every
 * Server of the namespace that could select the port applies, so that an unknown pod is never less protected.
 */
export function rulesFor(facts: PolicyFacts, { namespace, endpoints }: Destination): Rule[] {
  const found = new Set<Server>();
  const defaults = new Set<string>();
  let known = false;
  for (const { host, port } of endpoints) {
    for (const workload of facts.workloadsAt(host)) {
      known = true;
      judge(facts.servers(workload.namespace), workload, port, { found, defaults });
    }
  }
  if (!known) {
    const ports = new Set(endpoints.map(({ port }) => port));
    for (const server of facts.servers(namespace)) {
      const port = server.spec?.port;
      if (ports.size > 0 && (typeof port !== 'number' || ports.has(port))) found.add(server);
    }
  }
  return inOrder(found, defaults);
}

/** The rules of the gateway's own port, which must allow every client. Pure. */
export function gatewayRules(facts: PolicyFacts, { namespace, name, port }: OwnPod): Rule[] {
  const servers = facts.servers(namespace);
  const found = new Set<Server>();
  const defaults = new Set<string>();
  const pod = facts.pod(namespace, name);
  if (pod === undefined) {
    for (const server of servers) {
      const wanted = server.spec?.port ?? '';
      if (wanted === port || OWN_PORT_NAMES.includes(String(wanted))) found.add(server);
    }
  } else {
    const ports = new Map([...pod.ports, ...OWN_PORT_NAMES.map((alias) => [alias, [port]] as const)]);
    judge(servers, { ...pod, ports }, port, { found, defaults });
  }
  return inOrder(found, defaults);
}

/**
 * The namespaces and unknown addresses outside of its own namespace that a target's rules depend on. Pure.
 */
export function foreignDependenciesOf(
  facts: PolicyFacts,
  { namespace, endpoints }: Destination,
): { readonly namespaces: ReadonlySet<string>; readonly unknown: ReadonlySet<string> } {
  const namespaces = new Set<string>();
  const unknown = new Set<string>();
  for (const { host } of endpoints) {
    const found = facts.workloadsAt(host);
    if (found.length === 0) unknown.add(host);
    for (const workload of found) if (workload.namespace !== namespace) namespaces.add(workload.namespace);
  }
  return { namespaces, unknown };
}

/** Adds the rules of one port of a workload: the Servers that select it, or else its default policy. */
function judge(
  servers: readonly Server[],
  workload: Workload,
  port: number,
  into: { found: Set<Server>; defaults: Set<string> },
): void {
  const selecting = servers.filter((server) => selectsPort(server, workload, port));
  for (const server of selecting) into.found.add(server);
  if (selecting.length === 0 && workload.defaultPolicy !== undefined)
    into.defaults.add(workload.defaultPolicy);
}

function selectsPort({ spec = {} }: Server, { kind, labels, ports }: Workload, port: number): boolean {
  const selector = kind === 'Pod' ? spec.podSelector : spec.externalWorkloadSelector;
  if (selector === undefined || !matchesSelector(selector, labels, true)) return false;
  if (typeof spec.port === 'number') return spec.port === port;
  return ports.get(spec.port ?? '')?.includes(port) ?? false;
}

function inOrder(servers: ReadonlySet<Server>, defaults: ReadonlySet<string>): Rule[] {
  return [
    ...[...servers].sort(byName).map((server) => ({ kind: 'server', server }) as const),
    ...[...defaults].sort().map((policy) => ({ kind: 'default', policy }) as const),
  ];
}

/** Orders by name, then namespace, so that results do not depend on the order of arrival. */
export function byName(a: KubeObject, b: KubeObject): number {
  const nameOf = ({ metadata }: KubeObject) => `${metadata?.name ?? ''} ${metadata?.namespace ?? ''}`;
  const [left, right] = [nameOf(a), nameOf(b)];
  return left < right ? -1 : Number(left > right);
}

import type { V1Pod, V1Service } from '@kubernetes/client-node';
import type { EgressTry } from '../api/admin/try-answer.ts';
import { type LinkObject, namesGateway } from '../api/link/link-schema.ts';
import { egressPortsOf } from '../api/mirror/mirror-annotations.ts';
import { clusterOf } from '../api/mirror/mirror-labels.ts';
import { codeOf, messageOf } from '../api/errors/linkspan-error.ts';
import { keyOf } from '../api/kubernetes/resource.ts';
import { type Check, type Finding, skipped, unless } from './check.ts';
import { adminPortOf, type CheckFacts, type GatewayTries, isRunning } from './check-facts.ts';

/**
 * Requests that are sent now, on the ways that traffic takes: what a condition says may be some probes old.
 */
export function pathChecks(facts: CheckFacts): Check[] {
  return [
    {
      id: 'linkspan-gateway-probe',
      text: 'controllers get an answer from every address of every gateway',
      severity: 'error',
      retried: true,
      run: () => gatewayProbes(facts),
    },
    {
      id: 'linkspan-egress-path',
      text: 'every egress pod gets through to every gateway by mTLS',
      severity: 'error',
      retried: true,
      run: (signal) => egressPaths(facts, signal),
    },
    {
      id: 'linkspan-gateway-path',
      text: 'a request reaches each linked cluster through its gateway',
      severity: 'error',
      retried: true,
      run: (signal) => gatewayPaths(facts, signal),
    },
  ];
}

async function gatewayProbes(facts: CheckFacts): Promise<Finding> {
  const links = withGateway(await facts.links());
  return links.length === 0 ? skipped('no links with a gateway') : triesFinding(await facts.tryGateways());
}

/**
 * What controllers say of the requests they have sent. Those of several replicas for one address that fail
 * alike are one line.
 */
export function triesFinding({ tries, failures }: GatewayTries): Finding {
  const lines = tries.flatMap(({ cluster, address, ok, message }) =>
    ok ? [] : [`* ${cluster} (${address}): ${message}`],
  );
  const silent = failures.map((failure) => `* no answer from ${failure}`);
  if (lines.length + silent.length === 0 && tries.length === 0)
    return skipped('the controllers know no address of a gateway that they are to probe');
  return unless([...new Set([...lines, ...silent])]);
}

async function egressPaths(facts: CheckFacts, signal: AbortSignal): Promise<Finding> {
  const pods = (await facts.pods('egress')).filter(isRunning);
  if (pods.length === 0) return skipped('there is no egress: clients go to the gateway by their own proxies');
  return unless((await Promise.all(pods.map((pod) => egressTrouble(facts, pod, signal)))).flat());
}

async function egressTrouble(facts: CheckFacts, pod: V1Pod, signal: AbortSignal): Promise<string[]> {
  const name = pod.metadata?.name ?? '';
  try {
    const { status, body } = await facts.askPod(name, adminPortOf(pod), '/try', signal);
    if (status !== 200) return [`* ${name} does not say: ${status}: ${body.trim().slice(0, 200)}`];
    return (JSON.parse(body) as EgressTry[]).flatMap(({ gateway, ok, message }) =>
      ok ? [] : [`* ${name} to ${gateway}: ${message}`],
    );
  } catch (error) {
    return [`* ${name} does not say: ${messageOf(error)}`];
  }
}

function withGateway(links: readonly LinkObject[]): LinkObject[] {
  return links.filter(namesGateway);
}

/**
 * A real request: to the port that an egress pod has for a mirror, through the API server's pod proxy, from
 * there through the gateway to a pod of the target. What the application answers does not matter, that it was
 * the application does.
 */
async function gatewayPaths(facts: CheckFacts, signal: AbortSignal): Promise<Finding> {
  const links = withGateway(await facts.links());
  if (links.length === 0) return skipped('no links with a gateway');
  const pod = (await facts.pods('egress')).find(isRunning)?.metadata?.name;
  if (pod === undefined) return skipped('there is no egress: clients go to the gateway by their own proxies');
  const mirrors = await facts.mirrors();
  const clusters = links.map(({ spec }) => spec?.targetClusterName ?? '');
  const tried = clusters.flatMap((cluster) => mirrors.find((mirror) => leadsTo(mirror, cluster)) ?? []);
  if (tried.length === 0) return skipped('no mirror goes through a gateway');
  const troubles = await Promise.all(tried.map((mirror) => pathTrouble(facts, pod, mirror, signal)));
  return unless(troubles.flat());
}

/** Whether the egress has a port for this mirror of that cluster. */
function leadsTo(mirror: V1Service, cluster: string): boolean {
  return clusterOf(mirror) === cluster && firstPort(mirror) !== undefined;
}

async function pathTrouble(
  facts: CheckFacts,
  pod: string,
  mirror: V1Service,
  signal: AbortSignal,
): Promise<string[]> {
  const what = `* ${clusterOf(mirror) ?? ''} by ${keyOf(mirror)}`;
  try {
    const { status, body } = await facts.askPod(pod, firstPort(mirror) ?? 0, '/', signal);
    // Bytes that are no HTTP have come from the application all the same.
    if (![502, 503, 504].includes(status) || body.includes('malformed HTTP')) return [];
    return [`${what}: ${status}: ${body.trim().slice(0, 200)}`];
  } catch (error) {
    // An answer that is not what its type says is the application's too.
    return codeOf(error) === 'KUBE_GARBLED' ? [] : [`${what}: ${messageOf(error)}`];
  }
}

function firstPort(mirror: V1Service): number | undefined {
  return Object.values(egressPortsOf(mirror))[0];
}

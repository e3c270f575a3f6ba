import type { V1Pod, V1Service } from '@kubernetes/client-node';
import type { Clock } from '../base/clock.ts';
import { readEgressPorts } from '../base/egress-ports.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import { CLUSTER_NAME_LABEL, CONTROLLER_NAME, DEFAULT_EGRESS_NAME, EGRESS_PORTS } from '../base/names.ts';
import { parseCertificates } from '../identity/certificate.ts';
import { isForbidden } from '../kube/client.ts';
import { keyOf, selfSubjectReviews } from '../kube/resource.ts';
import type { LinkObject } from '../link/schema.ts';
import type { LinkReport } from '../mirror/explain.ts';
import { isRolledOut } from '../install/ready.ts';
import { type Category, type Check, type Finding, passed, unless } from './check.ts';
import type { CheckFacts } from './facts.ts';

const DAY_MS = 86_400_000;
/** An issuer or anchor with less left is worth a thought. */
const SOON_MS = 30 * DAY_MS;
/** A leaf that has not been renewed by then will not be. */
const LEAF_SOON_MS = 3_600_000;
/** Tokens and certificates have times in them: clocks further apart make good ones look expired, or not yet valid. */
const SKEW_MS = 5000;
/** More lines than this help nobody. */
const MAX_LINES = 20;
const LEAF_METRIC = /^control_identity_cert_expiration_timestamp_seconds(?:\{[^}]*\})? ([0-9.e+]+)$/m;
/** Admin ports of the parts that have a certificate, by component. */
const ADMIN_PORTS = { gateway: 'mc-probe', egress: 'admin' } as const;

/** What Linkerd's check does not look at. */
export function linkspanChecks(facts: CheckFacts, clock: Clock): Category {
  const checks = [...partChecks(facts, clock), ...linkChecks(facts)];
  return { name: 'linkspan', checks };
}

function partChecks(facts: CheckFacts, clock: Clock): Check[] {
  return [
    rolledOut(facts, 'linkspan-controller-ready', 'controller replicas are ready', CONTROLLER_NAME),
    rolledOut(facts, 'linkspan-gateway-ready', 'gateway replicas are ready', 'gateway'),
    rolledOut(facts, 'linkspan-egress-ready', 'egress replicas are ready', DEFAULT_EGRESS_NAME),
    {
      id: 'linkspan-credentials-expiry',
      text: "Links' credentials do not expire soon",
      severity: 'warning',
      run: async () => expiring(await facts.links()),
    },
    {
      id: 'linkspan-certificates',
      text: 'issuer, trust anchors and workload certificates are valid for a while',
      severity: 'error',
      run: (signal) => certificates(facts, clock.now(), signal),
    },
    {
      id: 'linkspan-clock-skew',
      text: "clocks of this machine and of the cluster's API server agree",
      severity: 'warning',
      run: () => clockSkew(facts, clock),
    },
    {
      id: 'linkspan-version-skew',
      text: 'CLI, controller, gateway and egress are of one version',
      severity: 'warning',
      run: async () =>
        unless(
          (await facts.deployments()).flatMap(({ metadata }) => {
            const version = metadata?.labels?.['app.kubernetes.io/version'] ?? 'unknown';
            return version === facts.version
              ? []
              : [`* ${metadata?.name ?? ''} is ${version}, this program ${facts.version}: linkspan upgrade`];
          }),
          'warning',
        ),
    },
  ];
}

function linkChecks(facts: CheckFacts): Check[] {
  return [
    {
      id: 'linkspan-link-conditions',
      text: 'all conditions of all Links are True',
      severity: 'error',
      retried: true,
      run: async () => badConditions(await facts.links()),
    },
    {
      id: 'linkspan-mirrors',
      text: 'every export has its mirror',
      severity: 'warning',
      run: async () =>
        (await facts.links()).length === 0
          ? skipped('no links detected')
          : notMirrored(await facts.reports()),
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

const skipped = (text: string): Finding => ({ result: 'skipped', text });

function rolledOut(facts: CheckFacts, id: string, text: string, which: string): Check {
  return {
    id,
    text,
    severity: 'error',
    retried: true,
    run: async () => {
      const found = (await facts.deployments()).find(
        ({ metadata }) => metadata?.name === which || metadata?.labels?.['component'] === which,
      );
      if (found === undefined) return skipped('not installed');
      if (isRolledOut(found)) return passed;
      const { status, spec } = found;
      return {
        result: 'error',
        text: `${status?.availableReplicas ?? 0} of ${spec?.replicas ?? 1} replicas of ${found.metadata?.name ?? ''} are available and up to date`,
      };
    },
  };
}

/** By the condition that the controller keeps: it knows the end of what it uses. */
export function expiring(links: readonly LinkObject[]): Finding {
  const bad = new Set(['CredentialsExpiring', 'CredentialsExpired', 'RenewalFailed']);
  return unless(
    links.flatMap(({ metadata, status }) => {
      const one = status?.conditions?.find(({ type }) => type === 'CredentialsValid');
      return one !== undefined && bad.has(one.reason)
        ? [`* ${metadata?.name ?? ''}: ${one.reason}: ${one.message}`]
        : [];
    }),
    'warning',
  );
}

/** @param now milliseconds since the epoch */
async function certificates(facts: CheckFacts, now: number, signal: AbortSignal): Promise<Finding> {
  const lines: { readonly line: string; readonly bad: boolean }[] = [];
  for (const { what, pem } of await publishedCertificates(facts))
    for (const { notAfter, x509 } of parseCertificates(pem, what))
      lines.push(...lifeLeft(`${what} (${x509.subject.replaceAll('\n', ', ')})`, notAfter - now, SOON_MS));
  for (const [component, port] of Object.entries(ADMIN_PORTS))
    for (const pod of (await facts.pods(component)).filter(isRunning))
      lines.push(...(await leafOf(facts, pod, portOf(pod, port), now, signal)));
  if (lines.length === 0) return passed;
  const text = lines.map(({ line }) => line).join('\n');
  return { result: lines.some(({ bad }) => bad) ? 'error' : 'warning', text };
}

async function publishedCertificates(facts: CheckFacts): Promise<{ what: string; pem: string }[]> {
  const found: { what: string; pem: string }[] = [];
  const issuer = await facts.secret('linkspan-issuer').catch((error: unknown) => {
    // A person who may not read Secrets still gets the rest.
    if (isForbidden(error)) return undefined;
    throw error;
  });
  const crt = issuer?.data?.['tls.crt'];
  if (crt !== undefined) found.push({ what: 'issuer', pem: Buffer.from(crt, 'base64').toString('utf8') });
  const anchors = await facts.configMap({ namespace: facts.namespace, name: 'linkspan-trust' });
  const pem = anchors?.data?.['ca.crt'];
  if (pem !== undefined) found.push({ what: 'trust anchor', pem });
  return found;
}

async function leafOf(facts: CheckFacts, pod: V1Pod, port: number, now: number, signal: AbortSignal) {
  const name = pod.metadata?.name ?? '';
  const { status, body } = await facts.askPod(name, port, '/metrics', signal);
  const seconds = status === 200 ? LEAF_METRIC.exec(body)?.[1] : undefined;
  if (seconds === undefined)
    return [{ line: `* ${name}: its certificate is not known (${status})`, bad: false }];
  return lifeLeft(`certificate of ${name}`, Number(seconds) * 1000 - now, LEAF_SOON_MS);
}

function lifeLeft(what: string, leftMs: number, soonMs: number): { line: string; bad: boolean }[] {
  if (leftMs >= soonMs) return [];
  const bad = leftMs <= 0;
  const hours = Math.abs(leftMs) / 3_600_000;
  const time = hours < 48 ? `${hours.toFixed(1)} hours` : `${Math.floor(hours / 24)} days`;
  return [{ line: `* ${what} ${bad ? `has expired ${time} ago` : `expires in ${time}`}`, bad }];
}

/** The API server stamps what it creates; a review of oneself is stored nowhere and everybody may ask for one. */
export async function clockSkew(facts: CheckFacts, clock: Clock): Promise<Finding> {
  const before = clock.now();
  const review = await facts.client.create(selfSubjectReviews, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'SelfSubjectReview',
  });
  const after = clock.now();
  const stamp = review.metadata?.creationTimestamp;
  if (stamp === undefined) return skipped('the API server does not say its time');
  const there = new Date(stamp).getTime();
  // The stamp has whole seconds, and was made at some time in between.
  const off = there + 1000 < before ? there + 1000 - before : Math.max(0, there - after);
  if (Math.abs(off) <= SKEW_MS) return passed;
  return {
    result: 'warning',
    text: `the API server's clock is ${Math.abs(off) / 1000} s ${off < 0 ? 'behind' : 'ahead of'} this machine's`,
  };
}

/** Reasons of conditions that are Unknown because the Link says so: it names no gateway, or asks for no probes. */
const BY_CHOICE: ReadonlySet<string> = new Set(['NoGateway', 'NotProbed']);

export function badConditions(links: readonly LinkObject[]): Finding {
  if (links.length === 0) return skipped('no links detected');
  return unless(
    links.flatMap(({ metadata, status }) => {
      const name = metadata?.name ?? '';
      const conditions = status?.conditions ?? [];
      if (conditions.length === 0) return [`* ${name}: no controller has looked at it yet`];
      return conditions
        .filter((one) => one.status !== 'True' && !BY_CHOICE.has(one.reason))
        .map(({ type, reason, message }) => `* ${name}: ${type}: ${reason}: ${message}`);
    }),
  );
}

export function notMirrored(reports: readonly LinkReport[]): Finding {
  const fine = new Set(['Mirrored', 'NotExported']);
  const lines = reports.flatMap(({ cluster, mirrors = [], federated = [] }) =>
    [...mirrors, ...federated]
      .filter(({ reason }) => !fine.has(reason))
      .map(
        ({ service, reason, message }) =>
          `* ${service} of ${cluster}: ${reason}${message === '' ? '' : `: ${message}`}`,
      ),
  );
  const rest = lines.length > MAX_LINES ? [`and ${lines.length - MAX_LINES} more: linkspan mirrors`] : [];
  return unless([...lines.slice(0, MAX_LINES), ...rest], 'warning');
}

/**
 * A real request: to the port that an egress pod has for a mirror, through the API server's pod proxy, from there through the gateway to a pod of the target. What the
 * application answers does not matter, that it was the application does.
 */
async function gatewayPaths(facts: CheckFacts, signal: AbortSignal): Promise<Finding> {
  const links = (await facts.links()).filter(({ spec }) => (spec?.gatewayAddress ?? '') !== '');
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
function leadsTo({ metadata }: V1Service, cluster: string): boolean {
  return metadata?.labels?.[CLUSTER_NAME_LABEL] === cluster && firstPort(metadata.annotations) !== undefined;
}

async function pathTrouble(
  facts: CheckFacts,
  pod: string,
  mirror: V1Service,
  signal: AbortSignal,
): Promise<string[]> {
  const { labels, annotations } = mirror.metadata ?? {};
  const what = `* ${labels?.[CLUSTER_NAME_LABEL] ?? ''} by ${keyOf(mirror)}`;
  try {
    const { status, body } = await facts.askPod(pod, firstPort(annotations) ?? 0, '/', signal);
    return [502, 503, 504].includes(status) ? [`${what}: ${status}: ${body.trim().slice(0, 200)}`] : [];
  } catch (error) {
    // An answer that is not what its type says is the application's too.
    return codeOf(error) === 'KUBE_GARBLED' ? [] : [`${what}: ${messageOf(error)}`];
  }
}

function firstPort(annotations: Readonly<Record<string, string>> | undefined): number | undefined {
  return Object.values(readEgressPorts(annotations?.[EGRESS_PORTS]))[0];
}

function isRunning({ status, metadata }: V1Pod): boolean {
  return status?.phase === 'Running' && metadata?.deletionTimestamp === undefined;
}

function portOf(pod: V1Pod, name: string): number {
  const ports = (pod.spec?.containers ?? []).flatMap((container) => container.ports ?? []);
  return ports.find((one) => one.name === name)?.containerPort ?? 0;
}

import { bundleIn } from '../api/credentials/trust-config-maps.ts';
import { installedVersion, linkerdComponentOf } from '../api/installed-labels.ts';
import type { V1Pod } from '@kubernetes/client-node';
import type { Clock } from '../base/clock.ts';
import {
  CONTROLLER_NAME,
  DEFAULT_EGRESS_NAME,
  ISSUER_SECRET,
  LEAF_EXPIRY_METRIC,
  LEAF_REFRESH_METRIC,
  SIGNER_DEPLOYMENT,
  TRUST_CONFIG_MAP,
} from '../api/names.ts';
import { parseCertificates } from '../identity/x509/certificate.ts';
import { isForbidden } from '../kube/client/kube-client.ts';
import type { LinkObject } from '../api/link/link-schema.ts';
import type { LinkReport } from '../api/answers/admin-answers.ts';
import { isTrouble } from '../api/reasons/mirror-reasons.ts';
import { isRolledOut } from '../install/ready.ts';
import {
  type Category,
  type ClusterCheck,
  type CheckFinding,
  passed,
  shortened,
  skipped,
  passedUnless,
} from './check.ts';
import { clockSkew } from './clock-skew.ts';
import { adminPortOf, type CheckFacts, isRunning } from './check-facts.ts';
import { importChecks } from './import-checks.ts';
import { pathChecks } from './path-checks.ts';
import { trustDomainCheck } from './trust-domains.ts';
import { sliceChecks } from './slice-checks.ts';

const DAY_MS = 86_400_000;
/** An issuer or anchor with less time left is warned of, milliseconds. */
const SOON_MS = 30 * DAY_MS;
/** A leaf with less time left is warned of, because it should have been renewed, milliseconds. */
const LEAF_SOON_MS = 3_600_000;
/** Components with a certificate. */
const CERTIFIED = ['gateway', 'egress'] as const;

/** Checks that `linkerd multicluster check` does not have. */
export function linkspanChecks(facts: CheckFacts, clock: Clock): Category {
  const checks = [
    ...partChecks(facts, clock),
    ...linkChecks(facts),
    ...sliceChecks(facts),
    ...importChecks(facts),
    ...pathChecks(facts),
  ];
  return { name: 'linkspan', checks };
}

function partChecks(facts: CheckFacts, clock: Clock): ClusterCheck[] {
  return [
    rolledOut(facts, 'linkspan-controller-ready', 'controller replicas are ready', CONTROLLER_NAME),
    rolledOut(facts, 'linkspan-signer-ready', 'signer replicas are ready', SIGNER_DEPLOYMENT),
    rolledOut(facts, 'linkspan-gateway-ready', 'gateway replicas are ready', 'gateway'),
    rolledOut(facts, 'linkspan-egress-ready', 'egress replicas are ready', DEFAULT_EGRESS_NAME),
    {
      id: 'linkspan-credentials-expiry',
      text: "Links' credentials do not expire soon",
      severity: 'warning',
      run: async () => expiringCredentials(await facts.links()),
    },
    {
      id: 'linkspan-certificates',
      text: 'issuer, trust anchors and workload certificates are valid for a while',
      severity: 'error',
      run: (signal) => certificates(facts, clock.now(), signal),
    },
    trustDomainCheck(facts),
    {
      id: 'linkspan-clock-skew',
      text: 'clocks of this machine and of all API servers agree',
      severity: 'warning',
      run: async () => clockSkew(facts, clock, await facts.links()),
    },
    {
      id: 'linkspan-version-skew',
      text: 'CLI, controller, signer, gateway and egress are of one version',
      severity: 'warning',
      run: async () =>
        passedUnless(
          (await facts.deployments()).flatMap((deployment) => {
            const version = installedVersion(deployment) ?? 'unknown';
            return version === facts.version
              ? []
              : [
                  `* ${deployment.metadata?.name ?? ''} is ${version}, this program ${facts.version}: linkspan upgrade`,
                ];
          }),
          'warning',
        ),
    },
  ];
}

function linkChecks(facts: CheckFacts): ClusterCheck[] {
  return [
    {
      id: 'linkspan-link-conditions',
      text: 'all conditions of all Links are True',
      severity: 'error',
      retried: true,
      run: async () => badConditions(await facts.links()),
    },
    {
      id: 'linkspan-written',
      text: 'what controllers know of Links stands on the Links and in Events',
      severity: 'warning',
      run: async () =>
        (await facts.links()).length === 0
          ? skipped('no links detected')
          : unwrittenStatus(await facts.reports()),
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
  ];
}

function rolledOut(facts: CheckFacts, id: string, text: string, which: string): ClusterCheck {
  return {
    id,
    text,
    severity: 'error',
    retried: true,
    run: async () => {
      const found = (await facts.deployments()).find(
        (deployment) => deployment.metadata?.name === which || linkerdComponentOf(deployment) === which,
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

/** Links whose credentials expire soon, by the condition that the controller keeps. */
export function expiringCredentials(links: readonly LinkObject[]): CheckFinding {
  const bad = new Set(['CredentialsExpiring', 'CredentialsExpired', 'RenewalFailed']);
  return passedUnless(
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
async function certificates(facts: CheckFacts, now: number, signal: AbortSignal): Promise<CheckFinding> {
  const lines: { readonly line: string; readonly bad: boolean }[] = [];
  for (const { what, pem } of await publishedCertificates(facts))
    for (const { notBefore, notAfter, x509 } of parseCertificates(pem, what)) {
      // Short-lived certificates are renewed automatically when a third of their life is left.
      const soon = Math.min(SOON_MS, (notAfter - notBefore) / 3);
      lines.push(...lifeLeft(`${what} (${x509.subject.replaceAll('\n', ', ')})`, notAfter - now, soon));
    }
  for (const component of CERTIFIED)
    for (const pod of (await facts.pods(component)).filter(isRunning))
      lines.push(...(await leafOf(facts, pod, adminPortOf(pod), now, signal)));
  if (lines.length === 0) return passed;
  const text = lines.map(({ line }) => line).join('\n');
  return { result: lines.some(({ bad }) => bad) ? 'error' : 'warning', text };
}

async function publishedCertificates(facts: CheckFacts): Promise<{ what: string; pem: string }[]> {
  const found: { what: string; pem: string }[] = [];
  const issuer = await facts.secret(ISSUER_SECRET).catch((error: unknown) => {
    // Without the right to read Secrets the other certificates are still checked.
    if (isForbidden(error)) return undefined;
    throw error;
  });
  const crt = issuer?.data?.['tls.crt'];
  if (crt !== undefined) found.push({ what: 'issuer', pem: Buffer.from(crt, 'base64').toString('utf8') });
  const anchors = await facts.configMap({ namespace: facts.namespace, name: TRUST_CONFIG_MAP });
  const pem = bundleIn(anchors)?.pem;
  if (pem !== undefined) found.push({ what: 'trust anchor', pem });
  return found;
}

async function leafOf(facts: CheckFacts, pod: V1Pod, port: number, now: number, signal: AbortSignal) {
  const name = pod.metadata?.name ?? '';
  const { status, body } = await facts.askPod(name, port, '/metrics', signal);
  const end = status === 200 ? seriesValue(body, LEAF_EXPIRY_METRIC) * 1000 : Number.NaN;
  if (Number.isNaN(end)) return [{ line: `* ${name}: its certificate is not known (${status})`, bad: false }];
  const start = seriesValue(body, LEAF_REFRESH_METRIC) * 1000;
  // It is renewed when 30 % is left; with less than a fifth, renewal has failed.
  const soon = Number.isNaN(start) ? LEAF_SOON_MS : Math.min(LEAF_SOON_MS, (end - start) / 5);
  return lifeLeft(`certificate of ${name}`, end - now, soon);
}

/** The value of the first series of that name in a Prometheus exposition; NaN without one. */
function seriesValue(exposition: string, name: string): number {
  const line = exposition
    .split('\n')
    .find((text) => text.startsWith(name) && (text[name.length] === '{' || text[name.length] === ' '));
  return line === undefined ? Number.NaN : Number(line.slice(line.lastIndexOf(' ') + 1));
}

function lifeLeft(what: string, leftMs: number, soonMs: number): { line: string; bad: boolean }[] {
  if (leftMs >= soonMs) return [];
  const bad = leftMs <= 0;
  const hours = Math.abs(leftMs) / 3_600_000;
  const time = hours < 48 ? `${hours.toFixed(1)} hours` : `${Math.floor(hours / 24)} days`;
  return [{ line: `* ${what} ${bad ? `has expired ${time} ago` : `expires in ${time}`}`, bad }];
}

/** Reasons of Unknown conditions that the Link's spec causes on purpose: it has no gateway, or no probes. */
const BY_CHOICE: ReadonlySet<string> = new Set(['NoGateway', 'NotProbed']);

export function badConditions(links: readonly LinkObject[]): CheckFinding {
  if (links.length === 0) return skipped('no links detected');
  return passedUnless(
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

/** What controllers know of Links and could not write to status or Leases. */
export function unwrittenStatus(reports: readonly LinkReport[]): CheckFinding {
  return passedUnless(
    reports.flatMap(({ link, unwritten: what = [] }) => what.map((text) => `* ${link}: ${text}`)),
    'warning',
  );
}

export function notMirrored(reports: readonly LinkReport[]): CheckFinding {
  const lines = reports.flatMap(({ cluster, mirrors = [], federated = [] }) =>
    [...mirrors, ...federated]
      // Refusals by the import policy have a check of their own.
      .filter(({ reason }) => isTrouble(reason))
      .map(
        ({ service, reason, message }) =>
          `* ${service} of ${cluster}: ${reason}${message === '' ? '' : `: ${message}`}`,
      ),
  );
  return shortened(lines, 'linkspan mirrors');
}

import { gatewayAnnotation } from '../api/gateway/gateway-service.ts';
import {
  boundAnchorsIn,
  bundleIn,
  LINKERD_TRUST_CONFIG_MAP,
  trustDomainIn,
} from '../api/credentials/trust-config-maps.ts';
import type { V1Service } from '@kubernetes/client-node';
import { messageOf } from '../api/errors/linkspan-error.ts';
import { ANCHORS_CONFIG_MAP, ISSUER_SECRET, OURS, TRUST_CONFIG_MAP } from '../api/names.ts';
import { type Certificate, nameOnOneLine, parseCertificates } from '../identity/x509/certificate.ts';
import { nameConstraintsOf, permits } from '../identity/x509/name-constraints.ts';
import { isBelowDomain, trustDomainOf } from '../identity/names/trust-domain.ts';
import { isForbidden } from '../kube/client/kube-client.ts';
import { services } from '../api/kubernetes/resource.ts';
import type { LinkObject } from '../api/link/link-schema.ts';
import { type ClusterCheck, type CheckFinding, passed, skipped } from './check.ts';
import type { CheckFacts } from './check-facts.ts';

/** The trust settings of a cluster. */
export interface TrustDomainFacts {
  /** This cluster's own trust domain. */
  readonly own: string;
  /** Anchors that are not bound to a trust domain (PEM). */
  readonly anchors: string;
  /** The issuer with its chain (PEM); undefined where Linkspan has none, or it may not be read. */
  readonly issuer: string | undefined;
  /** Bound anchors (PEM), by trust domain. */
  readonly bound: Readonly<Record<string, string>>;
  /** Trust domains of the Links' gateways, by target cluster. */
  readonly targets: Readonly<Record<string, string>>;
}

interface Line {
  readonly line: string;
  readonly bad: boolean;
}

/** Problems in the trust between clusters. Pure. */
export function trustProblems(facts: TrustDomainFacts): readonly Line[] {
  const { own, bound, targets } = facts;
  const unbound = parseCertificates(facts.anchors, 'trust anchors');
  const readable = readBound(bound);
  const domains = new Set([own, ...Object.keys(bound), ...Object.values(targets)]);
  return [
    ...readable.problems,
    ...overOurs(own, Object.keys(bound)),
    ...Object.entries(targets).flatMap(([cluster, domain]) =>
      unvouched(cluster, domain, facts, unbound, readable.by),
    ),
    ...(domains.size > 1 ? loose(facts, unbound) : []),
  ];
}

function readBound(bound: TrustDomainFacts['bound']): {
  readonly by: ReadonlyMap<string, readonly Certificate[]>;
  readonly problems: readonly Line[];
} {
  const by = new Map<string, readonly Certificate[]>();
  const problems: Line[] = [];
  for (const [domain, pem] of Object.entries(bound)) {
    try {
      by.set(domain, parseCertificates(pem, `trust anchors of ${domain}`));
    } catch (error) {
      by.set(domain, []);
      problems.push({ line: `* ${messageOf(error)}`, bad: true });
    }
  }
  return { by, problems };
}

function overOurs(own: string, domains: readonly string[]): Line[] {
  return domains
    .filter((domain) => domain === own)
    .map((domain) => ({
      line: `* ConfigMap ${ANCHORS_CONFIG_MAP} has anchors of ${domain}, this cluster's own trust domain: whoever holds their keys can be anybody here`,
      bad: false,
    }));
}

/**
 * Problems with one target: no anchor may vouch for its gateway, or its authorities may name identities of
 * ours.
 */
function unvouched(
  cluster: string,
  domain: string,
  { own, bound }: TrustDomainFacts,
  unbound: readonly Certificate[],
  by: ReadonlyMap<string, readonly Certificate[]>,
): Line[] {
  const nearest = [own, ...Object.keys(bound)]
    .filter((one) => isBelowDomain(`x.${domain}`, one))
    .toSorted((a, b) => b.length - a.length)[0];
  const anchors = [
    ...(nearest === undefined || nearest === own ? unbound : []),
    ...(by.get(nearest ?? '') ?? []),
  ];
  const lines: Line[] = [];
  if (!anchors.some((anchor) => mayName(anchor, domain)))
    lines.push({
      line: `* ${cluster}: no trust anchor may vouch for its trust domain ${domain}: linkspan upgrade --anchors ${domain}=<its ca.crt>`,
      bad: true,
    });
  if (domain !== own && isBelowDomain(`x.${own}`, domain))
    lines.push({
      line: `* ${cluster}: its trust domain ${domain} is above ours (${own}), so its issuer is not kept from naming us: install it with a --cluster-name`,
      bad: false,
    });
  return lines;
}

/** Authorities without a restriction to a domain, where there is more than one domain. */
function loose({ issuer, own }: TrustDomainFacts, unbound: readonly Certificate[]): Line[] {
  const free = unbound.filter(({ x509 }) => nameConstraintsOf(x509.raw) === undefined);
  const lines: Line[] = [];
  if (unbound.length > 1)
    for (const { x509 } of free)
      lines.push({
        line: `* trust anchor "${nameOnOneLine(x509.subject)}" is bound to no domain and has no name constraints: it can name anybody of ${own}. If it is another cluster's: linkspan upgrade --anchors <domain>=<file>`,
        bad: false,
      });
  const [signer] = issuer === undefined ? [] : parseCertificates(issuer, 'issuer');
  if (signer !== undefined && nameConstraintsOf(signer.x509.raw) === undefined)
    lines.push({
      line: `* the issuer "${nameOnOneLine(signer.x509.subject)}" has no name constraints: with its key one can be anybody in every cluster that trusts its anchor. Make a new one: linkspan identity issuer`,
      bad: false,
    });
  return lines;
}

function mayName({ x509 }: Certificate, domain: string): boolean {
  const limits = nameConstraintsOf(x509.raw);
  return limits === undefined || permits(limits, `x.${domain}`);
}

/** The check of the trust between clusters. */
export function trustDomainCheck(facts: CheckFacts): ClusterCheck {
  return {
    id: 'linkspan-trust-domains',
    text: 'trust anchors can vouch for those that they should, and for nobody else',
    severity: 'error',
    run: async (): Promise<CheckFinding> => {
      const found = await readTrust(facts);
      if (found === undefined) return skipped("this cluster's trust anchors are not in a ConfigMap");
      const lines = trustProblems(found);
      if (lines.length === 0) return passed;
      const text = lines.map(({ line }) => line).join('\n');
      return { result: lines.some(({ bad }) => bad) ? 'error' : 'warning', text };
    },
  };
}

async function readTrust(facts: CheckFacts): Promise<TrustDomainFacts | undefined> {
  const { namespace, linkerdNamespace } = facts;
  const [ours, theirs, more, gateways, links] = await Promise.all([
    facts.configMap({ namespace, name: TRUST_CONFIG_MAP }),
    facts.configMap({ namespace: linkerdNamespace, name: LINKERD_TRUST_CONFIG_MAP }),
    facts.configMap({ namespace, name: ANCHORS_CONFIG_MAP }),
    facts.client.list(services, { namespace, labelSelector: OURS }),
    facts.links(),
  ]);
  const anchors = (bundleIn(ours) ?? bundleIn(theirs))?.pem;
  const own = trustDomainIn(ours) ?? domainOfGateway(gateways.items);
  if (anchors === undefined || own === undefined) return undefined;
  return {
    own,
    anchors,
    issuer: ours === undefined ? undefined : await issuerOf(facts),
    bound: Object.fromEntries(boundAnchorsIn(more).map(({ domain, pem }) => [domain, pem])),
    targets: targetDomains(links),
  };
}

function targetDomains(links: readonly LinkObject[]): Record<string, string> {
  return Object.fromEntries(
    links.flatMap(({ spec }) => {
      const domain = trustDomainOf(spec?.gatewayIdentity ?? '');
      return domain === undefined ? [] : [[spec?.targetClusterName ?? '', domain]];
    }),
  );
}

function domainOfGateway(gateways: readonly V1Service[]): string | undefined {
  const identities = gateways.map((gateway) => gatewayAnnotation(gateway, 'identity'));
  return identities.map((identity) => trustDomainOf(identity ?? '')).find((domain) => domain !== undefined);
}

async function issuerOf(facts: CheckFacts): Promise<string | undefined> {
  try {
    const encoded = (await facts.secret(ISSUER_SECRET))?.data?.['tls.crt'];
    return encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString('utf8');
  } catch (error) {
    // Without the right to read Secrets the rest is still checked.
    if (isForbidden(error)) return undefined;
    throw error;
  }
}

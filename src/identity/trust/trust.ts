import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { anchorPaths, type Certificate, checkPath, parseCertificates } from '../x509/certificate.ts';
import type { BoundAnchors, Identity } from '../sources/identity.ts';
import { identityIn, isIdentity, peerCertificate } from '../x509/peer-certificate.ts';
import { isBelowDomain, trustDomainOf } from '../names/trust-domain.ts';

/** The settings that decide which certificates a process trusts. */
export type TrustSettings = Pick<Identity, 'name' | 'ca' | 'bound'>;

/** Verdicts that are cached: workloads open many connections with one certificate. */
const MAX_KEPT = 1000;
/** Most certificates of a peer's chain that are considered. */
const MAX_CHAIN = 8;

/**
 * Which identities the trust anchors may vouch for. Anchors that are bound to a domain vouch for it and for
 * the domains below it that have none of their own; the others, which are our own cluster's, for our own
 * domain and for every domain that no anchor is bound to. So a partner's authority, bound to its own domain,
 * can name no identity of ours; and a single bundle for all clusters, as with Linkerd, works as before.
 */
export class Trust {
  readonly #settings: TrustSettings;
  #anchors: readonly Certificate[] | undefined;
  #boundTo: ReadonlyMap<string, ReadonlySet<string>> | undefined;
  readonly #kept = new Map<string, string | undefined>();

  constructor(settings: TrustSettings) {
    this.#settings = settings;
  }

  /** Whether the runtime's own verification suffices, because no anchor is bound to a domain. */
  get simple(): boolean {
    return (this.#settings.bound ?? []).length === 0;
  }

  /** Whether both have the same anchors, the same bindings and the same own domain. */
  equals(other: Trust): boolean {
    return keyOf(this.#settings) === keyOf(other.#settings);
  }

  /**
   * Why a certificate is not trusted; undefined = it is: signatures, validity and name constraints hold along
   * some path to an anchor that may vouch for the certificate's identity.
   * @param above the other certificates that the peer sent, in any order
   * @param now milliseconds since the epoch
   */
  refusal(leaf: X509Certificate, above: readonly X509Certificate[], now: number): string | undefined {
    const key = [leaf, ...above].map(({ fingerprint256 }) => fingerprint256).join();
    if (this.#kept.has(key)) return this.#kept.get(key);
    const found = this.#judge(leaf, above, now);
    if (this.#kept.size >= MAX_KEPT) this.#kept.clear();
    this.#kept.set(key, found);
    return found;
  }

  #judge(x509: X509Certificate, above: readonly X509Certificate[], now: number): string | undefined {
    const name = identityIn(x509.raw);
    if (name === undefined) return 'its certificate has no identity';
    const leaf = certificateOf(x509, name);
    const chain = above.map((one) => certificateOf(one, `the chain of ${name}`));
    const { paths } = anchorPaths(leaf, chain, this.#all());
    if (paths.length === 0) return `no trust anchor vouches for ${name}`;
    const vouching = paths.filter(({ anchor }) => this.#mayVouch(anchor, name));
    if (vouching.length === 0)
      return `its chain ends at "${subjectOf(paths[0]?.anchor)}", which may not name ${name} (it is bound to another trust domain)`;
    let why = '';
    for (const path of vouching) {
      try {
        checkPath(leaf, path, now);
        return undefined;
      } catch (error) {
        why = messageOf(error);
      }
    }
    return why;
  }

  #mayVouch({ x509 }: Certificate, name: string): boolean {
    const domains = this.#bindings().get(x509.fingerprint256);
    const { bound = [] } = this.#settings;
    const own = trustDomainOf(this.#settings.name);
    const candidates = bound.map(({ domain }) => domain.toLowerCase());
    const covering = (own === undefined ? candidates : [...candidates, own]).filter((domain) =>
      isBelowDomain(name, domain),
    );
    const nearest = covering.toSorted((a, b) => b.length - a.length)[0];
    if (domains !== undefined) return nearest !== undefined && domains.has(nearest);
    return nearest === undefined || nearest === own;
  }

  #all(): readonly Certificate[] {
    this.#anchors ??= parseCertificates(this.#settings.ca, 'the trust anchors');
    return this.#anchors;
  }

  /** Domains by the anchor that is bound to them. */
  #bindings(): ReadonlyMap<string, ReadonlySet<string>> {
    if (this.#boundTo !== undefined) return this.#boundTo;
    const found = new Map<string, Set<string>>();
    for (const { domain, pem } of this.#settings.bound ?? []) {
      for (const { x509 } of pem === '' ? [] : parseCertificates(pem, `the trust anchors of ${domain}`)) {
        const domains = found.get(x509.fingerprint256) ?? new Set();
        found.set(x509.fingerprint256, domains.add(domain.toLowerCase()));
      }
    }
    this.#boundTo = found;
    return found;
  }
}

const trusts = new WeakMap<TrustSettings, Trust>();

/** The trust of an identity; made once for each. */
export function trustOf(settings: TrustSettings): Trust {
  let trust = trusts.get(settings);
  if (trust === undefined) trusts.set(settings, (trust = new Trust(settings)));
  return trust;
}

/**
 * Why the peer of a connection whose handshake is done is not trusted; undefined = it is. The runtime has
 * verified that its chain ends at one of the anchors; this checks that the anchor may vouch for the peer's
 * identity, and that the identity is the expected one.
 * @param expected identity that the peer must have; undefined = any
 */
export function peerRefusalOf(
  socket: TLSSocket,
  settings: TrustSettings,
  now: number,
  expected?: string,
): string | undefined {
  const der = peerCertificate(socket);
  if (der === undefined) return 'it has shown no certificate';
  if (expected !== undefined && !isIdentity(der, expected))
    return `it proved ${(identityIn(der) ?? 'no identity').slice(0, 300)} instead of ${expected}`;
  return trustOf(settings).simple ? undefined : lostTrust(socket, settings, now);
}

/**
 * Why the peer of an open connection is not trusted any more, verified in full with the current anchors, also
 * where no anchor is bound; undefined = it is.
 */
export function lostTrust(socket: TLSSocket, settings: TrustSettings, now: number): string | undefined {
  const leaf = socket.getPeerX509Certificate();
  return leaf === undefined
    ? 'its certificate is not known any more'
    : trustOf(settings).refusal(leaf, chainOf(leaf), now);
}

/**
 * The certificates that the peer sent above its own. Some runtimes add the anchor, which is its own issuer.
 */
function chainOf(leaf: X509Certificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let at = leaf.issuerCertificate;
  while (at !== undefined && chain.length < MAX_CHAIN) {
    chain.push(at);
    const next: X509Certificate | undefined = at.issuerCertificate;
    if (next?.fingerprint256 === at.fingerprint256) break;
    at = next;
  }
  return chain;
}

function certificateOf(x509: X509Certificate, where: string): Certificate {
  return { x509, where, notBefore: Date.parse(x509.validFrom), notAfter: Date.parse(x509.validTo) };
}

function subjectOf(certificate: Certificate | undefined): string {
  return (certificate?.x509.subject ?? '').split('\n').join(', ');
}

function keyOf({ name, ca, bound = [] }: TrustSettings): string {
  const parts = bound.map(({ domain, pem }: BoundAnchors) => `${domain.toLowerCase()} ${pem}`);
  return JSON.stringify([trustDomainOf(name), ca, parts.toSorted((a, b) => (a < b ? -1 : 1))]);
}

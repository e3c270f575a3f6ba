import { boundAnchorsIn } from '../../api/credentials/trust-config-maps.ts';
import type { V1ConfigMap } from '@kubernetes/client-node';
import { notifyAll } from '../../base/isolation.ts';
import type { Clock } from '../../base/clock.ts';
import { describeError, LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { keyOf } from '../../api/kubernetes/resource.ts';
import type { Health } from '../../telemetry/admin.ts';
import type { Logger } from '../../telemetry/log.ts';
import { parseCertificates } from '../x509/certificate.ts';
import type { BoundAnchors, Identity, IdentitySource } from '../sources/identity.ts';
import { requireDomain } from '../names/identity-name.ts';
import {
  type AnchorsConfigMapOptions,
  configMapIn,
  followConfigMap,
  openAnchorsFile,
} from '../sources/trust-anchors.ts';
import { Trust } from './trust.ts';

/** Anchors that are bound to trust domains. New ones arrive, and old ones go, without a restart. */
export interface BoundAnchorsSource {
  current(): readonly BoundAnchors[];
  /** What could not be read, for people; empty when all is well. */
  readonly problem: string;
  /** Whether the source has been read; until then it may hold anchors of any domain. */
  readonly known: boolean;
  subscribe(listener: () => void): () => void;
  close(): Promise<void>;
}

/**
 * The anchors of one domain in a PEM file, watched. Until it has been read for the first time no identity of
 * the domain is accepted.
 * @throws LinkspanError CONFIG_INVALID when the domain is no DNS name
 */
export async function openBoundFile(
  { domain, file }: { readonly domain: string; readonly file: string },
  clock: Clock,
): Promise<BoundAnchorsSource> {
  requireDomain(domain);
  const anchors = await openAnchorsFile(file, clock);
  return {
    current: () => [{ domain, pem: anchors.current()?.text ?? '' }],
    get problem() {
      return anchors.problem === undefined ? '' : describeError(anchors.problem);
    },
    known: true,
    subscribe: (listener) => anchors.subscribe(listener),
    close: () => anchors.close(),
  };
}

/**
 * The anchors in a ConfigMap, a key for each domain (`<domain>.crt`), watched through the API server. A
 * ConfigMap that does not exist holds none.
 */
export function openBoundConfigMap(options: AnchorsConfigMapOptions): BoundAnchorsSource {
  const where = `ConfigMap ${keyOf(options.ref)}`;
  const listeners = new Set<() => void>();
  let current: readonly BoundAnchors[] = [];
  let problem = '';
  let known = false;
  const following = followConfigMap(options, (read) => {
    const before = JSON.stringify([current, problem, known]);
    try {
      ({ current, problem } = anchorsIn(read(), where, current));
      known = true;
    } catch (error) {
      problem = `${where}: ${messageOf(error)}`;
    }
    if (JSON.stringify([current, problem, known]) !== before)
      notifyAll('listeners of bound trust anchors', listeners);
  });
  return {
    current: () => current,
    get problem() {
      return problem;
    },
    get known() {
      return known;
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: async () => {
      listeners.clear();
      await following.close();
    },
  };
}

/**
 * The anchors in a ConfigMap; a key that does not parse keeps its former anchors, so that a typing error cuts
 * off no connections.
 */
function anchorsIn(
  found: V1ConfigMap | undefined,
  where: string,
  before: readonly BoundAnchors[],
): { current: readonly BoundAnchors[]; problem: string } {
  const problems: string[] = [];
  const current = boundAnchorsIn(found).flatMap(({ key, domain, pem }): BoundAnchors[] => {
    try {
      requireDomain(domain);
    } catch (error) {
      problems.push(`${where}, ${key}: ${messageOf(error)}`);
      return [];
    }
    try {
      parseCertificates(pem, `${where}, ${key}`);
      return [{ domain, pem }];
    } catch (error) {
      problems.push(messageOf(error));
      return [before.find((one) => one.domain === domain) ?? { domain, pem: '' }];
    }
  });
  return { current, problem: problems.join('; ') };
}

/**
 * An identity that trusts its own anchors and those that are bound to other domains. Owns, and closes, all
 * sources.
 */
export function withBoundAnchors(
  base: IdentitySource,
  sources: readonly BoundAnchorsSource[],
  options: { readonly clock: Clock; readonly log: Logger },
): IdentitySource {
  return sources.length === 0 ? base : new BoundIdentity(base, sources, options);
}

class BoundIdentity implements IdentitySource {
  readonly #base: IdentitySource;
  readonly #sources: readonly BoundAnchorsSource[];
  readonly #options: { readonly clock: Clock; readonly log: Logger };
  readonly #listeners = new Set<() => void>();
  readonly #unsubscribe: readonly (() => void)[];
  #made: Identity | undefined;
  #madeOf: { base: Identity; bound: string } | undefined;
  /** Why the bindings cannot be used: with them our own certificate would be refused; empty when they can. */
  #refused = '';
  #told = '';

  constructor(
    base: IdentitySource,
    sources: readonly BoundAnchorsSource[],
    options: { readonly clock: Clock; readonly log: Logger },
  ) {
    this.#base = base;
    this.#sources = sources;
    this.#options = options;
    this.#look();
    this.#unsubscribe = [base, ...sources].map((source) => source.subscribe(() => this.#look()));
  }

  current(): Identity | undefined {
    return this.#made;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  get ready(): Health {
    const { ready } = this.#base;
    if (!ready.ok) return ready;
    if (this.#made === undefined) return { ok: false, reason: this.#problem() };
    return { ok: true, reason: [ready.reason, this.#problem()].filter((text) => text !== '').join('; ') };
  }

  async close(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#listeners.clear();
    await Promise.all([this.#base, ...this.#sources].map((source) => source.close()));
  }

  #problem(): string {
    const waiting = this.#sources.some(({ known, problem }) => !known && problem === '')
      ? 'the trust anchors of other domains have not been read yet'
      : '';
    const problems = [this.#refused, waiting, ...this.#sources.map(({ problem }) => problem)];
    return problems.filter((text) => text !== '').join('; ');
  }

  #look(): void {
    const before = this.#made;
    const { log } = this.#options;
    this.#merge();
    const problem = this.#problem();
    const state = `${this.#base.ready.ok} ${this.#base.ready.reason} ${problem}`;
    if (before === this.#made && state === this.#told) return;
    if (problem !== '' && !this.#told.endsWith(problem))
      log.warn({ reason: problem }, 'trust anchors of other domains');
    if (before !== this.#made && this.#made !== undefined)
      log.info(
        { domains: this.#made.bound?.map(({ domain }) => domain) },
        'trust anchors of other domains loaded',
      );
    this.#told = state;
    notifyAll('listeners of an identity', this.#listeners);
  }

  /**
   * No identity is published before all bindings are known: without them one of our own anchors could vouch
   * for a domain that is bound to others.
   */
  #merge(): void {
    const base = this.#base.current();
    if (base === undefined || this.#sources.some(({ known }) => !known)) return;
    const bound = joined(this.#sources.flatMap((source) => source.current()));
    const key = JSON.stringify(bound);
    if (this.#madeOf?.base === base && this.#madeOf.bound === key) return;
    this.#madeOf = { base, bound: key };
    const made = merged(base, bound);
    const refusal = ownRefusal(made, this.#options.clock.now());
    this.#refused =
      refusal === undefined
        ? ''
        : `with the anchors that are bound to domains, ${base.name} would not be believed: ${refusal}`;
    if (refusal === undefined) this.#made = made;
    // The last usable bindings are kept, with the new certificate.
    else if (this.#made !== undefined) this.#made = merged(base, this.#made.bound ?? []);
  }
}

function merged(base: Identity, bound: readonly BoundAnchors[]): Identity {
  return { ...base, ca: oneBundle([base.ca, ...bound.map(({ pem }) => pem)]), bound };
}

function oneBundle(bundles: readonly string[]): string {
  return bundles
    .map((pem) => pem.trim())
    .filter((pem) => pem !== '')
    .map((pem) => `${pem}\n`)
    .join('');
}

/** Bundles of one domain from several places count together. */
function joined(all: readonly BoundAnchors[]): BoundAnchors[] {
  const byDomain = Map.groupBy(all, ({ domain }) => domain.toLowerCase());
  return [...byDomain]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([domain, found]) => ({ domain, pem: oneBundle(found.map(({ pem }) => pem)) }));
}

function ownRefusal(identity: Identity, now: number): string | undefined {
  const [leaf, ...above] = parseCertificates(identity.cert, 'the certificate in use');
  if (leaf === undefined) return 'it has no certificate';
  return new Trust(identity).refusal(
    leaf.x509,
    above.map(({ x509 }) => x509),
    now,
  );
}

/**
 * Parses a value of `--anchors`: `<domain>=<file>` or `configmap:<namespace>/<name>`.
 * @throws LinkspanError CONFIG_INVALID
 */
export function parseAnchorsFlag(
  text: string,
):
  | { readonly domain: string; readonly file: string }
  | { readonly configMap: { readonly namespace: string; readonly name: string } } {
  const configMap = configMapIn(text, '--anchors');
  if (configMap !== undefined) return { configMap };
  const at = text.indexOf('=');
  const domain = text.slice(0, Math.max(at, 0));
  const file = text.slice(at + 1);
  if (at <= 0 || file === '')
    throw new LinkspanError(
      'CONFIG_INVALID',
      `--anchors: "${text}" is neither <domain>=<file> nor configmap:<namespace>/<name>`,
    );
  return { domain: requireDomain(domain), file };
}

import { meshSuffix } from '../../api/linkerd/identity-form.ts';
import path from 'node:path';
import { notifyAll } from '../../base/isolation.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { type FileSnapshot, type WatchedFiles, watchFiles } from '../../base/file-watch.ts';
import type { Logger } from '../../telemetry/log.ts';
import {
  anchorPaths,
  type Certificate,
  checkChain,
  checkValidity,
  isoTime,
  parseCertificates,
} from '../x509/certificate.ts';
import { CA_FILE, CERT_FILE, KEY_FILE, presentFile } from '../sources/identity-dir.ts';
import { type Authority, type AuthorityFiles, parseAuthority } from './issue.ts';
import { signingKey } from '../x509/keys.ts';
import { nameConstraintsOf, permits } from '../x509/name-constraints.ts';

/** How often validity is looked at again, milliseconds. */
const RECHECK_MS = 15_000;

/** An issuer that may be replaced while the process runs. */
export interface IssuerSource {
  /** The last good issuer, while it is valid. */
  current(): Authority | undefined;
  /** What is wrong with what is there now; undefined when all is well. */
  readonly problem: LinkspanError | undefined;
  /** Calls `listener` when either has changed. Returns the unsubscriber. */
  subscribe(listener: () => void): () => void;
  close(): Promise<void>;
}

/**
 * The issuer in a directory: `tls.crt` (its certificate, then intermediates up to the anchor), `tls.key`
 * (ECDSA P-256 or RSA) and `ca.crt` (the trust bundle), as cert-manager keeps them; watched. A bad set leaves
 * the last good one in use until that expires, with one coded line in the log.
 */
export async function openIssuerDir(options: {
  readonly dir: string;
  /** Trust domain whose identities the issuer must be permitted to name; undefined: not checked. */
  readonly trustDomain?: string;
  readonly clock: Clock;
  readonly log: Logger;
}): Promise<IssuerSource> {
  const source = new IssuerDir(options);
  await source.begin();
  return source;
}

class IssuerDir implements IssuerSource {
  readonly #options: Parameters<typeof openIssuerDir>[0];
  readonly #listeners = new Set<() => void>();
  #files: WatchedFiles | undefined;
  #good: Authority | undefined;
  #looking: Promise<void> = Promise.resolve();
  #recheck: Timer | undefined;
  #closed = false;
  problem: LinkspanError | undefined;

  constructor(options: Parameters<typeof openIssuerDir>[0]) {
    this.#options = options;
  }

  async begin(): Promise<void> {
    const { dir, clock } = this.#options;
    this.#files = await watchFiles({
      directory: path.resolve(dir),
      names: [CERT_FILE, KEY_FILE, CA_FILE],
      clock,
      onChange: () => this.#schedule(),
    });
    await this.#look();
    this.#scheduleRecheck();
  }

  current(): Authority | undefined {
    const now = this.#options.clock.now();
    return this.#good !== undefined && now <= this.#good.notAfter ? this.#good : undefined;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#recheck?.cancel();
    this.#listeners.clear();
    await this.#files?.close();
    await this.#looking;
  }

  #scheduleRecheck(): void {
    if (this.#closed) return;
    const again = () => {
      this.#schedule();
      this.#scheduleRecheck();
    };
    this.#recheck = this.#options.clock.after(RECHECK_MS, again, { unref: true });
  }

  #schedule(): void {
    this.#looking = this.#looking.then(() => this.#look());
  }

  async #look(): Promise<void> {
    if (this.#closed || this.#files === undefined) return;
    const before = { good: this.#good, problem: this.problem };
    try {
      const { clock, trustDomain } = this.#options;
      const found = await loadIssuer(this.#files.current, clock.now(), trustDomain);
      if (!sameAuthority(this.#good, found)) this.#good = found;
      this.problem = undefined;
    } catch (error) {
      if (!(error instanceof LinkspanError)) throw error;
      this.problem = error;
    }
    this.#tell(before.good !== this.#good, before.problem?.message !== this.problem?.message);
  }

  #tell(renewed: boolean, otherProblem: boolean): void {
    const { log, dir } = this.#options;
    if (!renewed && !otherProblem) return;
    if (renewed && this.#good !== undefined) {
      log.info({ dir, notAfter: isoTime(this.#good.notAfter) }, 'issuer loaded');
    }
    if (otherProblem && this.problem !== undefined) {
      log.error({ err: this.problem, usable: this.current() !== undefined }, 'issuer refused');
    }
    notifyAll('listeners of an issuer', this.#listeners);
  }
}

/**
 * An issuer verified as one set.
 * @param files `tls.crt`, `tls.key`, `ca.crt`, in this order
 * @throws LinkspanError IDENTITY_…
 */
async function loadIssuer(
  files: readonly FileSnapshot[],
  now: number,
  trustDomain: string | undefined,
): Promise<Authority> {
  const [cert, key, ca] = files.map(presentFile);
  if (cert === undefined || key === undefined || ca === undefined) throw new TypeError('three files');
  return verifiedIssuer({ cert, key, ca }, now, trustDomain);
}

/**
 * An issuer whose key is that of its certificate, whose certificate is valid now and leads to one of the
 * trust anchors, and which may name identities of the trust domain.
 * @throws LinkspanError IDENTITY_…
 */
export async function verifiedIssuer(
  files: Required<AuthorityFiles>,
  now: number,
  trustDomain?: string,
): Promise<Authority> {
  const { cert, key, ca } = files;
  const authority = parseAuthority(files);
  await signingKey(key.text, key.path);
  const [own, ...above] = parseCertificates(cert.text, cert.path);
  if (own === undefined) throw new TypeError('parseCertificates returns at least one');
  checkValidity(own, now, 'the issuer');
  const anchors = parseCertificates(ca.text, ca.path);
  checkChain(own, above, anchors, now);
  if (trustDomain === undefined) return authority;
  const { paths } = anchorPaths(own, above, anchors);
  if (paths.some(({ anchor, between }) => mayNameAll([own, ...between, anchor], trustDomain)))
    return authority;
  throw new LinkspanError(
    'IDENTITY_INVALID',
    `${cert.path}: the issuer may not name identities of ${trustDomain} (name constraints)`,
    { hint: `Make one that may: linkspan identity issuer --trust-domain ${trustDomain}.` },
  );
}

function mayNameAll(authorities: readonly Certificate[], trustDomain: string): boolean {
  return authorities.every(({ x509 }) => {
    const limits = nameConstraintsOf(x509.raw);
    return (
      limits === undefined || permits(limits, `a.b${meshSuffix({ controlNamespace: 'c', trustDomain })}`)
    );
  });
}

function sameAuthority(a: Authority | undefined, b: Authority): boolean {
  return a?.cert === b.cert && a.key === b.key && a.chain === b.chain && a.ca === b.ca;
}

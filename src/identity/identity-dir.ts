import path from 'node:path';
import type { Clock, Timer } from '../base/clock.ts';
import { LinkspanError, describeError } from '../base/errors.ts';
import { type FileSnapshot, type WatchedFiles, watchFiles } from '../base/file-watch.ts';
import type { Health } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';
import { checkChain, checkKey, checkValidity, identityOf, iso, parseCertificates } from './certificate.ts';
import type { Identity, IdentitySource } from './identity.ts';
import { parsePrivateKey } from './keys.ts';

/** Names of the files, those of a `kubernetes.io/tls` Secret and of cert-manager's CSI driver. */
export const CERT_FILE = 'tls.crt';
export const KEY_FILE = 'tls.key';
export const CA_FILE = 'ca.crt';

/** How often validity is looked at again, milliseconds: an unchanged file can expire or begin to be valid. */
const RECHECK_MS = 15_000;
/** Linkerd renews at 70 % of a leaf's life; with less than this share left, whoever renews has stopped. */
const EXPIRY_WARNING_SHARE = 0.2;

export interface IdentityDirOptions {
  /** Directory with `tls.crt` (leaf, then intermediates), `tls.key` (PKCS#8 or SEC1) and `ca.crt`. */
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The identity and the start of its leaf's validity, from which the share of life that is left is known. */
export interface LoadedIdentity {
  readonly identity: Identity;
  readonly notBefore: number;
}

/**
 * Reads and watches the identity in a directory. A set is taken only when all of it is good; a bad or missing one leaves the last
 * good one in use, with one coded line in the log and in `ready.reason`. Never fails: what is missing now is picked up when it appears.
 */
export async function openIdentityDir(options: IdentityDirOptions): Promise<IdentitySource> {
  const source = new IdentityDir(options);
  await source.begin();
  return source;
}

/**
 * The identity in three files, verified as one set: it parses, the key belongs to the leaf, the leaf names an identity, and its
 * chain leads to the bundle, all of it valid at `now`.
 * @param files `tls.crt`, `tls.key`, `ca.crt`, in this order
 * @throws LinkspanError IDENTITY_…
 */
export function loadIdentity(files: readonly FileSnapshot[], now: number): LoadedIdentity {
  const [certFile, keyFile, caFile] = files.map(present);
  if (certFile === undefined || keyFile === undefined || caFile === undefined) {
    throw new TypeError('three files');
  }
  const [leaf, ...intermediates] = parseCertificates(certFile.text, certFile.path);
  if (leaf === undefined) throw new TypeError('parseCertificates returns at least one');
  checkKey(leaf, parsePrivateKey(keyFile.text, keyFile.path), keyFile.path);
  const name = identityOf(leaf);
  checkValidity(leaf, now, 'the certificate');
  checkChain(leaf, intermediates, parseCertificates(caFile.text, caFile.path), now);
  const identity = {
    name,
    cert: certFile.text,
    key: keyFile.text,
    ca: caFile.text,
    notAfter: leaf.notAfter,
  };
  return { identity, notBefore: leaf.notBefore };
}

function present(file: FileSnapshot): { path: string; text: string } {
  if (file.text !== undefined) return { path: file.path, text: file.text };
  const what =
    file.error?.code === 'ENOENT' ? 'there is no such file' : (file.error?.message ?? 'unreadable');
  const fields = { file: file.path };
  throw new LinkspanError('IDENTITY_MISSING', `${file.path}: ${what}`, { cause: file.error, fields });
}

/** Why the files as they are now were refused. */
export interface Refusal {
  readonly error: LinkspanError;
  /** They are the very set in use: it was good once, and time has passed over it. */
  readonly inUse: boolean;
}

/**
 * What `/ready` says about an identity.
 * @param loaded the last good set
 * @param refusal why the files in place were refused, if they were
 */
export function identityHealth(
  loaded: LoadedIdentity | undefined,
  refusal: Refusal | undefined,
  now: number,
): Health {
  const why = refusal === undefined ? '' : describeError(refusal.error);
  if (loaded === undefined) return { ok: false, reason: why === '' ? 'no identity yet' : why };
  if (refusal?.inUse === true) return { ok: false, reason: why };
  const { notAfter } = loaded.identity;
  const also = why === '' ? '' : `; the new one was refused: ${why}`;
  if (now > notAfter) return { ok: false, reason: `the identity in use expired at ${iso(notAfter)}${also}` };
  if (expiresSoon(loaded, now)) {
    return { ok: true, reason: `the identity expires at ${iso(notAfter)} and has not been renewed${also}` };
  }
  return { ok: true, reason: why === '' ? '' : `the last good identity is in use${also}` };
}

function expiresSoon(loaded: LoadedIdentity, now: number): boolean {
  const life = loaded.identity.notAfter - loaded.notBefore;
  return loaded.identity.notAfter - now < life * EXPIRY_WARNING_SHARE;
}

class IdentityDir implements IdentitySource {
  readonly #options: IdentityDirOptions;
  readonly #listeners = new Set<() => void>();
  #files: WatchedFiles | undefined;
  #loaded: LoadedIdentity | undefined;
  #refusal: Refusal | undefined;
  #recheck: Timer | undefined;
  /** What was last told: listeners and log hear of changes, not of every look. */
  #told = '';
  #closed = false;

  constructor(options: IdentityDirOptions) {
    this.#options = options;
  }

  async begin(): Promise<void> {
    this.#files = await watchFiles({
      directory: path.resolve(this.#options.dir),
      names: [CERT_FILE, KEY_FILE, CA_FILE],
      clock: this.#options.clock,
      onChange: () => this.#look(),
    });
    this.#look();
    this.#scheduleRecheck();
  }

  current(): Identity | undefined {
    return this.#loaded?.identity;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  get ready(): Health {
    return identityHealth(this.#loaded, this.#refusal, this.#options.clock.now());
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#recheck?.cancel();
    this.#listeners.clear();
    await this.#files?.close();
  }

  #scheduleRecheck(): void {
    if (this.#closed) return;
    const again = () => {
      this.#look();
      this.#scheduleRecheck();
    };
    this.#recheck = this.#options.clock.after(RECHECK_MS, again, { unref: true });
  }

  #look(): void {
    if (this.#closed || this.#files === undefined) return;
    const before = this.#loaded;
    try {
      const loaded = loadIdentity(this.#files.current, this.#options.clock.now());
      this.#refusal = undefined;
      // Same set: keep the object, so that nobody rebuilds a TLS context for nothing.
      if (before === undefined || !sameIdentity(before.identity, loaded.identity)) this.#loaded = loaded;
    } catch (error) {
      if (!(error instanceof LinkspanError)) throw error;
      this.#refusal = { error, inUse: this.#inUse() };
    }
    this.#tell(before !== this.#loaded);
  }

  /** Do the files hold what is in use? */
  #inUse(): boolean {
    const [cert, key, ca] = this.#files?.current ?? [];
    const used = this.#loaded?.identity;
    return used !== undefined && used.cert === cert?.text && used.key === key?.text && used.ca === ca?.text;
  }

  #tell(renewed: boolean): void {
    const { log } = this.#options;
    const health = this.ready;
    const state = `${health.ok} ${health.reason}`;
    if (!renewed && state === this.#told) return;
    this.#told = state;
    const identity = this.#loaded?.identity;
    if (renewed && identity !== undefined) {
      log.info({ identity: identity.name, notAfter: iso(identity.notAfter) }, 'identity loaded');
    }
    if (this.#refusal !== undefined) {
      log.error(
        { err: this.#refusal.error, identity: identity?.name, usable: health.ok },
        'identity refused',
      );
    } else if (health.reason !== '') {
      log.warn({ identity: identity?.name, reason: health.reason }, 'identity needs renewal');
    }
    for (const listener of this.#listeners) listener();
  }
}

function sameIdentity(a: Identity, b: Identity): boolean {
  return a.cert === b.cert && a.key === b.key && a.ca === b.ca;
}

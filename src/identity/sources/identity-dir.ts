import path from 'node:path';
import type { Clock, Timer } from '../../base/clock.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { type FileSnapshot, type WatchedFiles, watchFiles } from '../../base/file-watch.ts';
import type { Health } from '../../telemetry/admin.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Identity, IdentitySource } from './identity.ts';
import { IdentityState } from './identity-state.ts';
import { type LoadedIdentity, type PemText, verifyIdentity } from './loaded-identity.ts';

/** Names of the files, those of a `kubernetes.io/tls` Secret and of cert-manager's CSI driver. */
export const CERT_FILE = 'tls.crt';
export const KEY_FILE = 'tls.key';
export const CA_FILE = 'ca.crt';

/** How often validity is looked at again, milliseconds: an unchanged file can expire or begin to be valid. */
const RECHECK_MS = 15_000;

export interface IdentityDirOptions {
  /** Directory with `tls.crt` (leaf, then intermediates), `tls.key` (PKCS#8 or SEC1) and `ca.crt`. */
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Reads and watches the identity in a directory. A set of files is used only when all of it verifies; an
 * invalid or missing one leaves the last good one in use, with one coded line in the log and in
 * `ready.reason`. Never rejects: files that are missing now are picked up when they appear.
 */
export async function openIdentityDir(options: IdentityDirOptions): Promise<IdentitySource> {
  const source = new IdentityDir(options);
  await source.begin();
  return source;
}

/**
 * The identity in three files, verified as one set.
 * @param files `tls.crt`, `tls.key`, `ca.crt`, in this order
 * @throws LinkspanError IDENTITY_…
 */
export function loadIdentity(files: readonly FileSnapshot[], now: number): LoadedIdentity {
  const [cert, key, ca] = files.map(presentFile);
  if (cert === undefined || key === undefined || ca === undefined) throw new TypeError('three files');
  return verifyIdentity({ cert, key, ca }, now);
}

/** @throws LinkspanError IDENTITY_MISSING */
export function presentFile(file: FileSnapshot): PemText {
  if (file.text !== undefined) return { path: file.path, text: file.text };
  const what =
    file.error?.code === 'ENOENT' ? 'there is no such file' : (file.error?.message ?? 'unreadable');
  const fields = { file: file.path };
  throw new LinkspanError('IDENTITY_MISSING', `${file.path}: ${what}`, { cause: file.error, fields });
}

class IdentityDir implements IdentitySource {
  readonly #options: IdentityDirOptions;
  readonly #state: IdentityState;
  #files: WatchedFiles | undefined;
  #recheck: Timer | undefined;
  #closed = false;

  constructor(options: IdentityDirOptions) {
    this.#options = options;
    this.#state = new IdentityState({ ...options, failed: 'the new one was refused' });
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
    return this.#state.current;
  }

  subscribe(listener: () => void): () => void {
    return this.#state.subscribe(listener);
  }

  get ready(): Health {
    return this.#state.ready;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#recheck?.cancel();
    this.#state.close();
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
    try {
      this.#state.take(loadIdentity(this.#files.current, this.#options.clock.now()));
    } catch (error) {
      if (!(error instanceof LinkspanError)) throw error;
      this.#state.refuse(error, this.#inUse());
    }
  }

  /** Whether the files hold the identity that is in use. */
  #inUse(): boolean {
    const [cert, key, ca] = this.#files?.current ?? [];
    const used = this.#state.current;
    return used !== undefined && used.cert === cert?.text && used.key === key?.text && used.ca === ca?.text;
  }
}

import { BUNDLE_KEYS, bundleIn } from '../../api/credentials/trust-config-maps.ts';
import type { V1ConfigMap } from '@kubernetes/client-node';
import path from 'node:path';
import { notifyAll } from '../../base/isolation.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { type WatchedFiles, watchFiles } from '../../base/file-watch.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { keepFollowing } from '../../kube/informer/follow.ts';
import { configMaps, keyOf, type ObjectRef } from '../../api/kubernetes/resource.ts';
import { parseCertificates } from '../x509/certificate.ts';
import { presentFile } from './identity-dir.ts';
import type { PemText } from './loaded-identity.ts';

const BACKOFF = { minMs: 500, maxMs: 30_000 };

/**
 * Where the trust bundle comes from. A new one arrives without a restart; a bad one never replaces a good
 * one.
 */
export interface TrustAnchors {
  /** The last good bundle; undefined until there has been one. */
  current(): PemText | undefined;
  /** Why what is there now is not good, or cannot be read; undefined when all is well. */
  readonly problem: LinkspanError | undefined;
  /** Calls `listener` when either has changed. Returns the unsubscriber. */
  subscribe(listener: () => void): () => void;
  close(): Promise<void>;
}

class Bundle {
  readonly #listeners = new Set<() => void>();
  current: PemText | undefined;
  problem: LinkspanError | undefined;

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Sets the bundle, or the problem. @param read returns the bundle, or throws why there is none */
  set(read: () => PemText): void {
    const before = [this.current?.text, this.problem?.message];
    try {
      const found = read();
      parseCertificates(found.text, found.path);
      this.current = found;
      this.problem = undefined;
    } catch (error) {
      this.problem =
        error instanceof LinkspanError
          ? error
          : new LinkspanError('IDENTITY_MISSING', messageOf(error), { cause: error });
    }
    if (before[0] === this.current?.text && before[1] === this.problem?.message) return;
    notifyAll('listeners of trust anchors', this.#listeners);
  }

  close(): void {
    this.#listeners.clear();
  }
}

/** A bundle and its source as `TrustAnchors`. */
function anchorsOf(bundle: Bundle, source: { close(): Promise<void> }): TrustAnchors {
  return {
    current: () => bundle.current,
    get problem() {
      return bundle.problem;
    },
    subscribe: (listener) => bundle.subscribe(listener),
    close: async () => {
      bundle.close();
      await source.close();
    },
  };
}

/** A bundle in a file, such as a mounted ConfigMap's; watched. */
export async function openAnchorsFile(file: string, clock: Clock): Promise<TrustAnchors> {
  const bundle = new Bundle();
  const absolute = path.resolve(file);
  const files: WatchedFiles = await watchFiles({
    directory: path.dirname(absolute),
    names: [path.basename(absolute)],
    clock,
    onChange: ([snapshot]) => {
      if (snapshot !== undefined) bundle.set(() => presentFile(snapshot));
    },
  });
  const [first] = files.current;
  if (first !== undefined) bundle.set(() => presentFile(first));
  return anchorsOf(bundle, files);
}

/**
 * The ConfigMap that a flag's `configmap:<namespace>/<name>` names; undefined where its value is of another
 * form.
 * @param flag for the message
 * @throws LinkspanError CONFIG_INVALID
 */
export function configMapIn(
  text: string,
  flag: string,
): { readonly namespace: string; readonly name: string } | undefined {
  if (!text.startsWith('configmap:')) return undefined;
  const [namespace, name, ...rest] = text.slice('configmap:'.length).split('/');
  if (namespace && name && rest.length === 0) return { namespace, name };
  throw new LinkspanError('CONFIG_INVALID', `${flag}: "${text}" is not configmap:<namespace>/<name>`);
}

export interface AnchorsConfigMapOptions {
  readonly client: KubeClient;
  /** Whether the client is closed together with the watch; default false. */
  readonly ownsClient?: boolean;
  readonly ref: ObjectRef;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * A bundle in a ConfigMap (key `ca.crt`, or `ca-bundle.crt` as in Linkerd's), read and watched through the
 * API server. Starts at once.
 */
export function openAnchorsConfigMap(options: AnchorsConfigMapOptions): TrustAnchors {
  const bundle = new Bundle();
  const following = followConfigMap(options, (read) => bundle.set(() => bundleOf(read(), options.ref)));
  return anchorsOf(bundle, following);
}

/**
 * Watches one ConfigMap until it is closed; failures are retried.
 * @param onSeen called with a function that returns the ConfigMap (undefined: there is none) or throws why it
 * is not known
 */
export function followConfigMap(
  { client, ownsClient = false, ref, clock, random }: AnchorsConfigMapOptions,
  onSeen: (read: () => V1ConfigMap | undefined) => void,
): { close(): Promise<void> } {
  const stop = new AbortController();
  const { signal } = stop;
  const running = keepFollowing(
    { client, resource: configMaps, ref, clock, random, backoff: BACKOFF, signal },
    {
      onSeen: (seen) => onSeen(() => seen),
      onFailure: (error) =>
        onSeen(() => {
          throw error;
        }),
    },
  );
  return {
    close: async () => {
      stop.abort(new Error('closed'));
      await running;
      if (ownsClient) await client.close();
    },
  };
}

function bundleOf(found: V1ConfigMap | undefined, ref: ObjectRef): PemText {
  const where = `ConfigMap ${keyOf(ref)}`;
  const hint =
    'Run `linkspan signer --issuer-dir`, which makes linkspan-trust, or name another bundle with --identity-anchors.';
  if (found === undefined)
    throw new LinkspanError('IDENTITY_MISSING', `${where}: it does not exist`, { hint });
  const bundle = bundleIn(found);
  if (bundle !== undefined) return { path: `${where}, ${bundle.key}`, text: bundle.pem };
  throw new LinkspanError('IDENTITY_MISSING', `${where}: it has no key ${BUNDLE_KEYS.join(' or ')}`, {
    hint,
  });
}

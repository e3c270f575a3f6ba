import { bundleIn, trustConfigMap, trustDomainIn } from '../../api/credentials/trust-config-maps.ts';
import type { V1ConfigMap } from '@kubernetes/client-node';
import { TRUST_CONFIG_MAP } from '../../api/names.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { keepFollowing } from '../../kube/informer/follow.ts';
import { configMaps, keyOf } from '../../api/kubernetes/resource.ts';
import { WorkQueue } from '../../kube/queue/work-queue.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { IssuerSource } from '../authority/issuer-dir.ts';

export interface TrustPublisherOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly issuer: IssuerSource;
  /** Of the identities that the anchors are for. */
  readonly trustDomain: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const BACKOFF = { minMs: 500, maxMs: 30_000 };
/**
 * How long a bundle that another writer put there is left before it is overwritten, milliseconds. During a
 * rotation replicas see their new files up to two minutes apart, and must not overwrite each other in a tight
 * loop.
 */
const DRIFT_MS = 30_000;

/**
 * Keeps the issuer's trust bundle, and which trust domain it is for, in the ConfigMap `linkspan-trust`, from
 * which people copy it to other clusters: written when the issuer changes, at once when it is missing, and
 * after `DRIFT_MS` when it was altered.
 */
export class TrustPublisher {
  readonly #options: TrustPublisherOptions;
  readonly #queue: WorkQueue;
  readonly #stop = new AbortController();
  readonly #key: string;
  /** Undefined before the first look. */
  #seen: { readonly bundle: string | undefined; readonly domain: string | undefined } | undefined;
  #running: Promise<void> = Promise.resolve();
  #unsubscribe: () => void = () => undefined;

  constructor(options: TrustPublisherOptions) {
    this.#options = options;
    this.#key = keyOf({ namespace: options.namespace, name: TRUST_CONFIG_MAP });
    this.#queue = new WorkQueue({
      handler: (_, signal) => this.#write(signal),
      concurrency: 1,
      backoff: BACKOFF,
      ...options,
    });
  }

  start(): void {
    this.#unsubscribe = this.#options.issuer.subscribe(() => this.#queue.add(this.#key));
    this.#running = this.#follow();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#stop.abort(new Error('stopped'));
    await this.#running;
    await this.#queue.stop();
  }

  #follow(): Promise<void> {
    const { client, namespace, clock, random, log } = this.#options;
    const { signal } = this.#stop;
    const ref = { namespace, name: TRUST_CONFIG_MAP };
    return keepFollowing(
      { client, resource: configMaps, ref, clock, random, backoff: BACKOFF, signal },
      {
        onSeen: (found) => this.#saw(found),
        onFailure: (error) => log.warn({ err: error, configMap: this.#key }, 'watch failed, trying again'),
      },
    );
  }

  #saw(found: V1ConfigMap | undefined): void {
    const first = this.#seen === undefined;
    this.#seen = { bundle: bundleIn(found)?.pem, domain: trustDomainIn(found) };
    if (this.#isGood(this.#options.issuer.current()?.ca)) return;
    if (first || this.#seen.bundle === undefined) this.#queue.add(this.#key);
    else this.#queue.addAfter(this.#key, DRIFT_MS);
  }

  #isGood(bundle: string | undefined): boolean {
    return this.#seen?.bundle === bundle && this.#seen?.domain === this.#options.trustDomain;
  }

  async #write(signal: AbortSignal): Promise<void> {
    const { client, namespace, issuer, trustDomain, log } = this.#options;
    const bundle = issuer.current()?.ca;
    if (bundle === undefined || this.#seen === undefined || this.#isGood(bundle)) return;
    const body = trustConfigMap(namespace, { bundle, trustDomain });
    await client.patch(configMaps, { namespace, name: TRUST_CONFIG_MAP }, body, {
      type: 'apply',
      force: true,
      signal,
    });
    this.#seen = { bundle, domain: trustDomain };
    log.info({ configMap: this.#key }, 'trust anchors published');
  }
}

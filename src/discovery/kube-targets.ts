import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { EXPORTED_LABEL, FEDERATED_LABEL } from '../base/names.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Health } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';
import { ExportView } from './export-view.ts';
import { serviceTargets, targetHosts } from './service-targets.ts';
import type { TargetSource, TargetSpec } from './target.ts';
import { TargetTable } from './target-table.ts';

/** Selectors of the Services that a gateway serves by default: those that Links reach through it. */
export const DEFAULT_EXPORT_SELECTORS: readonly string[] = [
  `${EXPORTED_LABEL}=true`,
  `${FEDERATED_LABEL}=member`,
];

export interface KubeTargetsOptions {
  readonly client: KubeClient;
  /** Such as `cluster.local`. */
  readonly clusterDomain: string;
  /** Default `DEFAULT_EXPORT_SELECTORS`. */
  readonly exportSelectors?: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * Targets from the cluster that the gateway stands in: every TCP port of every exported Service and, where that is
 * headless, of each of its pods that has a host name. Starts watching at once. While the API
 * server cannot be reached, the last known targets are served.
 */
export function openKubeTargets(options: KubeTargetsOptions): TargetSource {
  return new KubeTargets(options);
}

class KubeTargets implements TargetSource {
  readonly #view: ExportView;
  readonly #clusterDomain: string;
  readonly #table = new TargetTable();
  /** Target keys of each Service, which go when its ports do. */
  readonly #keys = new Map<string, string[]>();
  /** Host names of each headless Service, as last known. */
  readonly #hosts = new Map<string, readonly string[]>();

  constructor(options: KubeTargetsOptions) {
    const { client, clock, random, log } = options;
    this.#clusterDomain = options.clusterDomain;
    const selectors = options.exportSelectors ?? DEFAULT_EXPORT_SELECTORS;
    this.#view = new ExportView({ client, selectors, clock, random, log });
    this.#view.subscribe((key) => this.#update(key));
    this.#view.start();
  }

  get(name: string, port: number): TargetSpec | undefined {
    return this.#table.get(name, port);
  }

  keys(): Iterable<string> {
    return this.#table.keys();
  }

  subscribe(listener: (key: string) => void): () => void {
    return this.#table.subscribe(listener);
  }

  get ready(): Health {
    const { synced, error } = this.#view;
    if (synced) {
      return { ok: true, reason: error === undefined ? '' : `serving what was known: ${messageOf(error)}` };
    }
    return {
      ok: false,
      reason: error === undefined ? 'exported Services are being listed' : messageOf(error),
    };
  }

  async close(): Promise<void> {
    await this.#view.stop();
    this.#table.clear();
  }

  #update(key: string): void {
    const keys = this.#table.replace(this.#keys.get(key) ?? [], this.#targets(key));
    if (keys.length === 0) this.#keys.delete(key);
    else this.#keys.set(key, keys);
  }

  #targets(key: string): TargetSpec[] {
    const service = this.#view.services.get(key);
    if (service === undefined) {
      this.#hosts.delete(key);
      return [];
    }
    const slices = this.#view.slicesOf(key);
    if (this.#view.endpointsKnown(key)) {
      const hosts = targetHosts(service, slices);
      if (hosts.length === 0) this.#hosts.delete(key);
      else this.#hosts.set(key, hosts);
      return serviceTargets(service, slices, this.#clusterDomain);
    }
    // Not knowing the endpoints (slices relabelled, a watch just begun) is no reason to send nobody anywhere, nor to forget a host.
    const targets = serviceTargets(service, slices, this.#clusterDomain, this.#hosts.get(key));
    return targets.map((target) => ({
      ...target,
      endpoints: this.get(target.name, target.port)?.endpoints ?? [],
    }));
  }
}

import { readAnnotation } from '../../api/annotations.ts';
import { type ConnectionDrill, readDrill } from '../../api/failover/connection-drill.ts';
import { FAILOVER_DRILL } from '../../api/failover/failover-names.ts';
import { type LinkObject, links } from '../../api/link/link-schema.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { Reflector } from '../../kube/informer/reflector.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import type { Logger } from '../../telemetry/log.ts';
import { isMember, type RouteBackend, type RouteMember } from '../routes/route.ts';

/** Where the Links are. */
export interface DrillsOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Drills that Links say: for a time, connections to their clusters are taken for dead. */
export class Drills {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #store = new IndexedStore<LinkObject>();
  readonly #reflector: Reflector<LinkObject>;
  /** By cluster; few are in it, mostly none. */
  readonly #drills = new Map<string, ConnectionDrill>();

  constructor({ client, namespace, clock, random, log }: DrillsOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#reflector = new Reflector({
      client,
      resource: links,
      namespace,
      // Without status, which changes often.
      transform: ({ metadata, spec }) => ({ ...(metadata && { metadata }), ...(spec && { spec }) }),
      store: this.#store,
      clock,
      random,
      log,
    });
    this.#store.subscribe('egress: drills', () => this.#read());
  }

  start(): void {
    this.#reflector.start();
  }

  async stop(): Promise<void> {
    await this.#reflector.stop();
  }

  /**
   * Whether the cluster of a backend is taken for dead now; asked for each request. Only a backend of several
   * can be, a member of a group or a mirror behind rules: a drill of one that nobody could replace would show
   * nothing.
   */
  isDead(backend: RouteBackend | RouteMember): boolean {
    return this.#drills.size > 0 && isMember(backend) && this.#takesForDead(backend.cluster);
  }

  #takesForDead(cluster: string): boolean {
    const drill = this.#drills.get(cluster);
    if (drill === undefined) return false;
    const now = this.#clock.now();
    return now >= drill.start && now < drill.until;
  }

  #read(): void {
    const before = new Map(this.#drills);
    this.#drills.clear();
    for (const { metadata, spec } of this.#store.list()) {
      const drill = readDrill(readAnnotation(metadata?.annotations, FAILOVER_DRILL));
      const cluster = spec?.targetClusterName;
      if (drill?.kind !== 'fail' || cluster === undefined || drill.until <= this.#clock.now()) continue;
      this.#drills.set(cluster, drill);
      if (before.get(cluster)?.until !== drill.until)
        this.#log.warn(
          { cluster, until: new Date(drill.until).toISOString(), by: drill.by },
          'drill: connections to a cluster are taken for dead',
        );
    }
  }
}

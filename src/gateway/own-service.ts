import type { V1Service } from '@kubernetes/client-node';
import { readAnnotation } from '../api/annotations.ts';
import { type ConnectionDrill, readDrill } from '../api/failover/connection-drill.ts';
import { DRAIN_FIELD, writeDrainField } from '../api/failover/drain-header.ts';
import { type FailoverDrain, readDrain } from '../api/failover/failover-drain.ts';
import { FAILOVER_DRAIN, FAILOVER_DRILL } from '../api/failover/failover-names.ts';
import { services } from '../api/kubernetes/resource.ts';
import type { Random } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { AnnotationProblems } from '../discovery/annotation-problems.ts';
import { takenAwayProblems } from '../discovery/failover-links.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { Reflector } from '../kube/informer/reflector.ts';
import { IndexedStore } from '../kube/informer/store.ts';
import { askingOf } from '../policy/failover/asked-drain.ts';
import type { Health, ReadyAnswer } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';

/**
 * How long a gateway that starts is not ready for want of what its Service says, milliseconds. Longer than a
 * list takes; where that cannot be had (no rights, no such Service) traffic must not wait for it.
 */
const FIRST_WORD_MS = 5000;

/** The gateway's own Service, and how it is watched. */
export interface OwnServiceOptions {
  readonly client: KubeClient;
  /** Default: the client is somebody else's. */
  readonly closesClient?: boolean;
  readonly namespace: string;
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * The gateway's own Service, as far as it says that this cluster is to be drained: `linkspan drain gateway`.
 */
export class OwnService {
  readonly #client: KubeClient;
  readonly #closesClient: boolean;
  readonly #clock: Clock;
  readonly #store = new IndexedStore<V1Service>();
  readonly #reflector: Reflector<V1Service>;
  readonly #firstWord: Timer;
  #late = false;

  constructor(options: OwnServiceOptions) {
    const { client, closesClient = false, namespace, name, clock, random, log } = options;
    this.#client = client;
    this.#closesClient = closesClient;
    this.#clock = clock;
    this.#reflector = new Reflector<V1Service>({
      client,
      resource: services,
      namespace,
      fieldSelector: `metadata.name=${name}`,
      store: this.#store,
      clock,
      random,
      log,
    });
    const problems = new AnnotationProblems(log);
    this.#store.subscribe('what is wrong with the own Service', ({ type, key, object }) =>
      problems.tell(key, type === 'deleted' ? [] : takenAwayProblems(object.metadata?.annotations)),
    );
    this.#firstWord = clock.after(FIRST_WORD_MS, () => (this.#late = true), { unref: true });
  }

  start(): void {
    this.#reflector.start();
  }

  async close(): Promise<void> {
    this.#firstWord.cancel();
    await this.#reflector.stop();
    if (this.#closesClient) await this.#client.close();
  }

  /**
   * Whether it is known. One that has just started must not tell other clusters that it wants all traffic
   * before it has looked: they would give it back what they took from its siblings.
   */
  get ready(): Health {
    if (this.#reflector.synced || this.#late) return { ok: true, reason: '' };
    return { ok: false, reason: "waiting for the gateway's own Service" };
  }

  /** The drain that it says. */
  get drain(): FailoverDrain | undefined {
    return readDrain(readAnnotation(this.#store.list()[0]?.metadata?.annotations, FAILOVER_DRAIN));
  }

  /** The drill that it says. */
  get drill(): ConnectionDrill | undefined {
    return readDrill(readAnnotation(this.#store.list()[0]?.metadata?.annotations, FAILOVER_DRILL));
  }

  /** Calls `listener` when the Service has changed. Returns the unsubscriber. */
  subscribe(listener: () => void): () => void {
    return this.#store.subscribe("the gateway's own Service", listener);
  }

  /** How probes of other clusters are answered by a gateway whose health is this. */
  answer(health: Health): ReadyAnswer {
    return probeAnswer(health, this.drain, this.#clock.now());
  }
}

/** The same for a drain. Pure. */
export function probeAnswer(health: Health, drain: FailoverDrain | undefined, now: number): ReadyAnswer {
  const { asks, over } = askingOf(drain, now);
  if (drain === undefined || !asks || !health.ok) return health;
  const fields = { [DRAIN_FIELD]: writeDrainField(drain) };
  return over ? { ok: false, reason: 'this cluster is drained', fields } : { ...health, fields };
}

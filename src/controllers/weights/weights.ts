import type { WatchParts } from '../../kube/informer/watched-kind.ts';
import type { WeighedServices } from '../failover/weighed-services.ts';
import type { LeasedQueue } from '../../kube/leader-election/leased-queue.ts';
import { type WeightWriterOptions, weightWriter } from './weight-writer.ts';
import { WeightedObjects } from './weighted-objects.ts';

/** Whose weights are written, as the controller is told. */
export interface WeightsSettings {
  /** Default: none are, and no kind of object with weights is looked at. */
  readonly enabled: boolean;
  /** Values of the label `failover.linkerd.io/controlled-by` that are ours, beside `linkspan`. */
  readonly controllers: readonly string[];
  /** The cluster's own, such as `cluster.local`: authorities of ServiceProfiles end with it. */
  readonly clusterDomain: string;
  /** Whether some namespaces only are looked at, so that nobody can say whether linkerd-failover runs. */
  readonly scoped: boolean;
  /** How often kinds, and linkerd-failover, are looked for, milliseconds; default: 20 s. */
  readonly lookMs?: number | undefined;
}

type Begin = Pick<
  WeightWriterOptions,
  'book' | 'drainsOf' | 'view' | 'events' | 'namespace' | 'replica' | 'lease'
>;

/** The weights of failover in objects of Linkerd's and Gateway API's: who is asked for, and the writer. */
export class Weights {
  readonly #parts: WatchParts;
  readonly #settings: WeightsSettings;
  readonly #objects: WeightedObjects;
  #writer: LeasedQueue | undefined;

  constructor(parts: WatchParts, settings: WeightsSettings) {
    this.#parts = parts;
    this.#settings = settings;
    this.#objects = new WeightedObjects({
      ...parts,
      clusterDomain: settings.clusterDomain,
      lookMs: settings.lookMs,
    });
  }

  /** Which Services are backends whose weights are managed. */
  get weighed(): WeighedServices {
    return this.#objects;
  }

  /** As `WorkQueue.oldestRunningMs`. */
  get oldestRunningMs(): number {
    return this.#writer?.oldestRunningMs ?? 0;
  }

  /** Links say something else of their clusters. */
  resync(): void {
    this.#writer?.resync();
  }

  /** When the source cluster has been listed. */
  begin(begin: Begin): void {
    this.#objects.start();
    this.#writer = weightWriter({ ...this.#parts, ...this.#settings, ...begin, objects: this.#objects });
    this.#writer.start();
  }

  async stop(): Promise<void> {
    await this.#writer?.stop();
    await this.#objects.stop();
  }
}

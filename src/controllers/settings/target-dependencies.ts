import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { HostNames } from '../../dns/host-names.ts';
import type { TotalBudget } from '../../kube/budget/total-budget.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import type { clientFor } from '../../kube/client/scoped-client.ts';
import type { EventRecorder } from '../../kube/events/event-recorder.ts';
import type { WorkerPool } from '../../kube/queue/worker-pool.ts';
import type { EgressAllocator } from '../egress-ports/egress-allocator.ts';
import type { GatewayHealthFactory } from '../gateway-health/gateway-probes.ts';
import type { SourceRanges } from '../imports/source-ranges.ts';
import type { MirrorAddress } from '../objects/mirrored-endpoints.ts';
import type { LocalView } from '../reconcile/local-view.ts';

/** What a peer shares with the others of its process. */
export interface TargetDependencies {
  readonly local: KubeClient;
  readonly view: LocalView;
  readonly pool: WorkerPool;
  readonly egress: EgressAllocator;
  /** Ready egress pods of the source cluster. */
  readonly egressAddresses: () => readonly MirrorAddress[];
  readonly events: EventRecorder;
  /** The source cluster's own address ranges. */
  readonly ranges: Pick<SourceRanges, 'ranges' | 'unknown'>;
  readonly names: HostNames;
  /** Memory of all linked clusters together. */
  readonly total: TotalBudget;
  readonly health: GatewayHealthFactory;
  /** Sorts clusters by the age of their Links; undefined where no Link names the cluster. */
  readonly ageOf: (cluster: string) => string | undefined;
  /** Opens a client of a target's API server; default `clientFor` of `kube/client`. */
  readonly clientFor?: typeof clientFor;
  readonly clock: Clock;
  readonly random: Random;
}

import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { HostNames } from '../../dns/host-names.ts';
import type { TotalBudget } from '../../kube/budget/total-budget.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import type { clientFor } from '../../kube/client/scoped-client.ts';
import type { EventRecorder } from '../../kube/events/event-recorder.ts';
import type { WorkerPool } from '../../kube/queue/worker-pool.ts';
import type { EgressAllocator } from '../egress-ports/egress-allocator.ts';
import type { FailoverBook } from '../failover/failover-book.ts';
import type { OwnNetwork } from '../failover/network-watch.ts';
import type { TrunkWitness } from '../gateway-health/egress-evidence.ts';
import type { GatewayHealthFactory } from '../gateway-health/gateway-probes.ts';
import type { SourceRanges } from '../imports/source-ranges.ts';
import type { MirrorAddress } from '../objects/mirrored-endpoints.ts';
import type { LocalView } from '../reconcile/local-view.ts';
import type { WeighedServices } from '../failover/weighed-services.ts';

/** What all peers of a process share. */
export interface TargetDependencies {
  readonly local: KubeClient;
  readonly view: LocalView;
  readonly pool: WorkerPool;
  readonly egress: EgressAllocator;
  /** Ready egress pods of the source cluster. */
  readonly egressAddresses: () => readonly MirrorAddress[];
  /** Whether all of them serve ports that lead to several clusters; default: they do not. */
  readonly egressServesGroups?: () => boolean;
  readonly events: EventRecorder;
  /** The source cluster's own address ranges. */
  readonly ranges: Pick<SourceRanges, 'ranges' | 'unknown'>;
  readonly names: HostNames;
  /** What the egress knows of gateways; default: nobody asks it. */
  readonly trunks?: TrunkWitness;
  /** The memory that all linked clusters together may take. */
  readonly total: TotalBudget;
  /** Whether this cluster's own network is suspected; default: it never is. */
  readonly ownNetwork?: OwnNetwork;
  readonly health: GatewayHealthFactory;
  /** As `ageOf` of `link/rivals.ts`. */
  readonly ageOf: (cluster: string) => string | undefined;
  /** Opens a client of a target's API server; default `clientFor` of `kube/client`. */
  readonly clientFor?: typeof clientFor;
  /** What Links say about failover, and what is decided; default: nothing is, and nobody asks. */
  readonly failover?: FailoverBook;
  /** Services whose weights are managed, and whose facts are asked for; default: none. */
  readonly weighed?: WeighedServices;
  readonly clock: Clock;
  readonly random: Random;
}

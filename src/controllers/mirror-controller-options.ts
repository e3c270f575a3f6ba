import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { HostNames } from '../dns/host-names.ts';
import type { ClusterAccess } from '../kube/client/access.ts';
import type { Logger } from '../telemetry/log.ts';
import type { MirrorControllerSettings } from './controller-settings.ts';
import type { GatewayHealthFactory } from './gateway-health/gateway-probes.ts';

/** The source cluster, and what the controller works with. */
export interface MirrorControllerOptions {
  readonly access: ClusterAccess;
  readonly settings: MirrorControllerSettings;
  /** Name of this replica, the holder of its Leases. */
  readonly replica: string;
  readonly names: HostNames;
  readonly health: GatewayHealthFactory;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

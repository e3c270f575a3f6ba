import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import type { Link } from '../../api/link/link-schema.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { TargetDependencies } from '../settings/target-dependencies.ts';
import type { TargetSettings } from '../settings/target-settings.ts';
import type { ServiceKey } from './service-statuses.ts';

/** One usable Link, and what its peer shares with others. */
export interface TargetClusterOptions extends TargetDependencies {
  readonly link: Link;
  readonly access: ClusterAccess;
  readonly settings: TargetSettings;
  /** UID of the target's `default/kubernetes` Service when it was last seen. */
  readonly knownUid: string | undefined;
  /** The drain that the target's gateway asked for when it was last heard. */
  readonly askedDrain?: FailoverDrain | undefined;
  readonly onStatus: StatusListener;
  readonly log: Logger;
}

/** Who hears of changes that the status of a Link shows. */
export interface StatusListener {
  /** The outcome of a Service has changed. */
  service(key: ServiceKey): void;
  /** Something else that the status shows has changed. */
  changed(): void;
  /** No key waits any more. */
  idle(): void;
}

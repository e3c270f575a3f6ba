import type { PortRange } from '../api/egress/egress-ports.ts';
import type { Selector } from '../api/kubernetes/label-selector.ts';
import type { RangeSettings } from './imports/source-ranges.ts';
import type { LocalExclusionSettings } from './federated/local-exclusions.ts';
import type { WeightsSettings } from './weights/weights.ts';
import type { TargetSettings } from './settings/target-settings.ts';

/** Settings of the controller; the CLI's flags. */
export interface MirrorControllerSettings extends TargetSettings {
  /** Namespace of the Links, their Secrets and Leases, and of the egress Service. */
  readonly namespace: string;
  /**
   * The namespaces of this cluster in which the account may make mirrors; default: all.
   */
  readonly namespaces?: readonly string[] | undefined;
  /** Service whose EndpointSlices are the egress pods. */
  readonly egressService: string;
  readonly egressRange: PortRange;
  /** The source cluster's own address ranges. */
  readonly ranges: RangeSettings;
  /** Which Services of the source cluster are members of federated Services. */
  readonly federatedSelector: Selector;
  /** Which of their labels and annotations are not copied. */
  readonly localExclusions: LocalExclusionSettings;
  /**
   * Most keys that all peers together reconcile at once, and so most writes to the source cluster's API
   * server.
   */
  readonly totalConcurrency: number;
  /**
   * How long a Lease is valid after its last renewal, milliseconds: after that time a replica that was killed
   * is replaced.
   */
  readonly leaseMs: number;
  readonly weights: WeightsSettings;
}

import { targetKey } from '../../api/ports/target-key.ts';
import { addTo, removeFrom } from '../../base/multimap.ts';
import { notifyAll } from '../../base/isolation.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { TargetSource } from '../../discovery/target-spec.ts';
import type { IdentitySource } from '../../identity/sources/identity.ts';
import type { OpenPeers } from '../../identity/trust/open-peers.ts';
import type { PortProtocol } from '../../api/ports/port-protocol.ts';
import type { Dial, DialOptions } from '../../proxy/io/dial.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import { Target } from '../../proxy/upstream/target.ts';
import type { LocalService } from '../routes/route.ts';

/** How pods of the egress' own cluster are dialled, plainly or as their mesh does. */
export type PodDial = (
  options: DialOptions & { readonly identity: IdentitySource; readonly peers?: OpenPeers },
) => Dial;

export interface LocalServicesOptions {
  /** The Services of this cluster that are members of federated ones, or backends of apexes. */
  readonly targets: Pick<TargetSource, 'get' | 'subscribe'>;
  readonly dial: PodDial;
  readonly identity: IdentitySource;
  readonly peers: OpenPeers;
  readonly counters: ProxyCounters;
  readonly clock: Clock;
  readonly random: Random;
}

/** The Services of the egress' own cluster that groups lead to. */
export class LocalServices {
  readonly #options: LocalServicesOptions;
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #unsubscribe: () => void;

  constructor(options: LocalServicesOptions) {
    this.#options = options;
    this.#unsubscribe = options.targets.subscribe((key) =>
      notifyAll('pods of local members', this.#listeners.get(key) ?? []),
    );
  }

  /**
   * The pods of a Service as a target, kept up to date until it is closed.
   * @param label for logs and metrics
   * @param protocol that the federated Service declares; undefined: none, so that what the Service itself
   * declares counts
   */
  open(local: LocalService, label: string, protocol: PortProtocol | undefined): LocalPods {
    const { targets, dial, identity, peers, counters, clock, random } = this.#options;
    const endpointCounters = () => counters.endpointOf(label);
    const target = new Target({
      label,
      dial: dial({ label, counters: endpointCounters, boundary: counters, clock, identity, peers }),
      clock,
      random,
      counters,
    });
    const update = () => {
      const spec = targets.get(local.name, local.port);
      const spoken = protocol ?? spec?.protocol;
      const rules = { ...(spoken === undefined ? {} : { protocol: spoken }), ...accrualOf(spec) };
      target.update(spec?.endpoints ?? [], rules);
    };
    const key = targetKey(local.name, local.port);
    addTo(this.#listeners, key, update);
    update();
    const close = () => {
      removeFrom(this.#listeners, key, update);
      target.close();
    };
    return { target, close };
  }

  close(): void {
    this.#unsubscribe();
    this.#listeners.clear();
  }
}

/** The pods of one port of a local Service. */
export interface LocalPods {
  readonly target: Target;
  /** Sends no new request or connection to them; flows that are under way go on. */
  close(): void;
}

/** Which failures take a pod out, as its own Service says. Retries are the group's, limits the gateway's. */
function accrualOf(spec: ReturnType<TargetSource['get']>) {
  return spec?.accrual === undefined ? {} : { accrual: spec.accrual };
}

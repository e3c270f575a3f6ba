import { messageOf } from '../../api/errors/linkspan-error.ts';
import { WEIGHTS_LEASE_NAME } from '../../api/lease-names.ts';
import { servicesOfChange } from '../../exports/slices-by-service.ts';
import { LeasedQueue, type LeasedQueueParts } from '../../kube/leader-election/leased-queue.ts';
import type { WeightsTermOptions } from './weights-term.ts';

/** What the writer of weights needs. */
export interface WeightWriterOptions
  extends Omit<WeightsTermOptions, 'signal' | 'queue'>,
    Pick<LeasedQueueParts, 'namespace' | 'replica' | 'lease'> {}

/**
 * Writes weights while this replica holds the Lease for that: an object is looked at when it changes, when
 * facts of one of its backends do, and when time alone changes its shares.
 */
export function weightWriter(options: WeightWriterOptions): LeasedQueue {
  const { objects, view, log } = options;
  return new LeasedQueue({
    ...options,
    name: WEIGHTS_LEASE_NAME,
    onError: (id, error) =>
      log.warn({ object: id, reason: messageOf(error) }, 'weights not written, trying again'),
    begin: async (queue, signal) => {
      const { WeightsTerm } = await import('./weights-term.ts');
      const term = new WeightsTerm({ ...options, signal, queue });
      let subscriptions: (() => void)[] = [];
      return {
        look: (id) => term.look(id),
        start: () => {
          subscriptions = [
            objects.subscribe((id) => queue.add(id)),
            view.stores.services.subscribe('weights: mirrors', ({ key }) => term.serviceChanged(key)),
            view.stores.endpointSlices.subscribe('weights: slices of mirrors', (change) => {
              for (const service of servicesOfChange(change)) term.serviceChanged(service);
            }),
          ];
          term.start();
        },
        resync: () => term.resync(),
        stop: async () => {
          for (const end of subscriptions) end();
          await term.stop();
        },
      };
    },
  });
}

import { targetKey } from '../../api/ports/target-key.ts';
import type { ProxyFailure } from '../../proxy/http/failures.ts';
import type { FlowTarget, GatewayPoolOptions } from './gateway-pool-options.ts';

/** Least time between two lines of the log, milliseconds. */
const SAID_MS = 1000;

/** Counts the flows that a gateway has refused, and says so in the log, at most once a second. */
export class FlowRefusals {
  readonly #gateway: string;
  readonly #options: Pick<GatewayPoolOptions, 'counters' | 'log' | 'clock'>;
  #saidAt = Number.NEGATIVE_INFINITY;

  /** @param gateway its address */
  constructor(gateway: string, options: Pick<GatewayPoolOptions, 'counters' | 'log' | 'clock'>) {
    this.#gateway = gateway;
    this.#options = options;
  }

  add({ name, port, label }: FlowTarget, { kind, message: reason }: ProxyFailure): void {
    const { counters, log, clock } = this.#options;
    counters.failure(kind, label, 'tcp');
    const now = clock.monotonic();
    if (now - this.#saidAt < SAID_MS) return;
    this.#saidAt = now;
    log.info(
      { target: targetKey(name, port), gateway: this.#gateway, kind, reason },
      'flow refused by the gateway',
    );
  }
}

import type { SocketAddress } from '../base/address.ts';
import type { Random } from '../base/backoff.ts';
import { sleep, type Clock } from '../base/clock.ts';
import { targetKey, type TargetSource, type TargetSpec } from '../discovery/target.ts';
import type { IdentitySource } from '../identity/identity.ts';
import type { AccessLog } from '../proxy/access-log.ts';
import { Accounts } from '../proxy/accounts.ts';
import { plainDial } from '../proxy/dial.ts';
import { serve } from '../proxy/session.ts';
import { Target } from '../proxy/target.ts';
import type { Health } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';
import { authorize } from './authorize.ts';
import { type Arrival, GatewayListener } from './listener.ts';

export interface GatewayOptions {
  readonly listen: SocketAddress;
  readonly identity: IdentitySource;
  readonly targets: TargetSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** How long flows may go on after `stop`; default 30 s. */
  readonly graceMs?: number;
  /** Several processes take connections from the same port; default false. */
  readonly reusePort?: boolean;
  /** Where sessions say what they carried; default nowhere. */
  readonly accessLog?: AccessLog;
}

/** A cluster's entry for the traffic of other clusters: who comes in proves who it is, says which exported Service it wants, and is balanced over its endpoints. */
export class Gateway {
  readonly accounts: Accounts;
  readonly #options: GatewayOptions;
  readonly #listener: GatewayListener;
  readonly #targets = new Map<string, Target>();
  readonly #unsubscribe: () => void;
  #draining = false;

  constructor(options: GatewayOptions) {
    this.#options = options;
    const { listen, identity, clock, log, targets } = options;
    this.accounts = new Accounts({ known: (label) => lookUp(targets, label) !== undefined, clock });
    this.#listener = new GatewayListener({
      address: listen,
      identity,
      clock,
      log,
      accounts: this.accounts,
      reusePort: options.reusePort ?? false,
      onArrival: (arrival) => this.#arrived(arrival),
    });
    this.#unsubscribe = targets.subscribe((key) => this.#changed(key));
  }

  /** May traffic be sent here? */
  get ready(): Health {
    if (this.#draining) return { ok: false, reason: 'shutting down' };
    const { identity, targets } = this.#options;
    return identity.ready.ok ? targets.ready : identity.ready;
  }

  /** Endpoints by `name:port`, of the services that have been asked for. */
  get balancers(): Record<string, { readonly ready: number; readonly known: number }> {
    return Object.fromEntries([...this.#targets].map(([label, { counts }]) => [label, counts]));
  }

  /** @returns the bound address @throws LinkspanError PORT_IN_USE */
  start(): Promise<SocketAddress> {
    return this.#listener.listen();
  }

  /** Takes nothing new, lets what is under way end within the grace, then ends it. */
  async stop(): Promise<void> {
    const { clock, graceMs = 30_000, log } = this.#options;
    this.#draining = true;
    this.#unsubscribe();
    this.#listener.stopAccepting();
    const deadline = clock.monotonic() + graceMs;
    while (this.#listener.size > 0 && clock.monotonic() < deadline) await sleep(clock, 50);
    if (this.#listener.size > 0)
      log.warn({ connections: this.#listener.size }, 'grace is over, connections ended');
    this.#listener.destroy();
    for (const target of this.#targets.values()) target.close();
  }

  #arrived({ connection, clientIdentity, header, first }: Arrival): void {
    const { targets, clock, identity, log } = this.#options;
    if (header.name === '') {
      // A gateway stands for other services only; a header without a name would mean the gateway's own ports.
      this.accounts.refuse('nameless header');
      connection.destroy();
      return;
    }
    const own = identity.current()?.name ?? '';
    const label = targetKey(header.name, header.port);
    const host = header.port === 80 ? header.name : label;
    log.debug({ client: clientIdentity, target: label, protocol: header.protocol }, 'connection accepted');
    serve(
      {
        client: connection,
        target: this.#target(label, header.name, header.port),
        protocol: header.protocol,
        rules: {
          host,
          add: [
            ['l5d-client-id', clientIdentity],
            ['l5d-dst-canonical', label],
          ],
          append: [['forwarded', `by=${own};for=${clientIdentity};host=${label};proto=https`]],
        },
        check: (head) => {
          const spec = targets.get(header.name, header.port);
          const refusal = authorize({ own, client: clientIdentity, label, spec, head });
          const allowed = refusal === undefined;
          if (allowed || refusal.kind === 'unauthorized')
            this.accounts.authorization(head === undefined ? 'tcp' : 'http', allowed, clientIdentity);
          return refusal;
        },
        draining: () => this.#draining,
        accounts: this.accounts,
        clock,
      },
      first,
    );
  }

  /** The balancer of a service, made when first asked for and kept as long as the service is exported. */
  #target(label: string, name: string, port: number): Target {
    const { clock, random, targets } = this.#options;
    const known = this.#targets.get(label);
    if (known !== undefined) return known;
    const dial = plainDial({ label, accounts: this.accounts, clock });
    const target = new Target({ label, dial, clock, random });
    const spec = targets.get(name, port);
    target.update(spec?.endpoints ?? []);
    // What is not exported is answered and forgotten: names that clients make up must not fill the memory.
    if (spec !== undefined) this.#targets.set(label, target);
    return target;
  }

  #changed(key: string): void {
    const target = this.#targets.get(key);
    if (target === undefined) return;
    const spec = lookUp(this.#options.targets, key);
    target.update(spec?.endpoints ?? []);
    if (spec === undefined) this.#targets.delete(key);
  }
}

function lookUp(targets: TargetSource, key: string): TargetSpec | undefined {
  const colon = key.lastIndexOf(':');
  return targets.get(key.slice(0, colon), Number(key.slice(colon + 1)));
}

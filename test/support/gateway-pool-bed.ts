import { STREAMS_ALPN, TRANSPORT_HEADER_ALPN } from '../../src/api/names.ts';
import { GatewayPool } from '../../src/egress/gateways/gateway-pool.ts';
import { type Authority, issueLeaf } from '../../src/identity/authority/issue.ts';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { ProxyCounters } from '../../src/proxy/metrics/counters.ts';
import { targetField } from '../../src/proxy/streams/stream-head.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { freeAuthority } from './authorities.ts';
import { Ear, NEVER, ScriptedGateway } from './scripted-gateway.ts';
import { VirtualClock } from './virtual-clock.ts';

/** The Service that flows of the bed are for. */
export const ECHO = { name: 'echo', port: 7, label: 'echo', field: targetField('echo:7') };

/** Pools of connections to scripted gateways, in virtual time. */
export class GatewayPoolBed {
  readonly clock = new VirtualClock();
  readonly counters = new ProxyCounters();
  /** What the egress shows from now on; undefined: it has no certificate. */
  identity: Identity | undefined;
  readonly #authority: Authority;
  readonly #gateway: Identity;
  readonly #listeners = new Set<() => void>();
  readonly #gateways: ScriptedGateway[] = [];
  readonly #pools: GatewayPool[] = [];

  private constructor(authority: Authority, gateway: Identity, identity: Identity) {
    this.#authority = authority;
    this.#gateway = gateway;
    this.identity = identity;
  }

  static async create(): Promise<GatewayPoolBed> {
    const authority = await freeAuthority();
    return new GatewayPoolBed(
      authority,
      await issueLeaf(authority, { identity: 'gateway.west' }),
      await issueLeaf(authority, { identity: 'egress.east' }),
    );
  }

  /** Cuts and closes all that was made here. */
  close(): void {
    for (const pool of this.#pools.splice(0)) pool.destroy();
    for (const gateway of this.#gateways.splice(0)) gateway.close();
    this.#listeners.clear();
  }

  /** A new certificate for the egress. */
  issue(identity: string): Promise<Identity> {
    return issueLeaf(this.#authority, { identity });
  }

  /** Says that the egress may have another certificate. */
  renewed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** A gateway of ours. */
  readonly ours = (port = 0): Promise<ScriptedGateway> =>
    this.#listen([STREAMS_ALPN, TRANSPORT_HEADER_ALPN], port);

  /** One of Linkerd's. */
  readonly linkerds = (port = 0): Promise<ScriptedGateway> => this.#listen([TRANSPORT_HEADER_ALPN], port);

  async #listen(alpn: readonly string[], port: number): Promise<ScriptedGateway> {
    const gateway = await new ScriptedGateway(this.#gateway, alpn, this.clock).listen(port);
    this.#gateways.push(gateway);
    return gateway;
  }

  /** A pool of connections to a gateway. @param streams whether stream mode is offered */
  readonly poolTo = ({ port }: ScriptedGateway, streams = true, keepAliveMs = NEVER): GatewayPool => {
    const pool = new GatewayPool(
      { host: '127.0.0.1', port, identity: 'gateway.west' },
      {
        identity: {
          current: () => this.identity,
          subscribe: (listener) => {
            this.#listeners.add(listener);
            return () => this.#listeners.delete(listener);
          },
          ready: { ok: true, reason: '' },
          close: () => Promise.resolve(),
        },
        counters: this.counters,
        clock: this.clock,
        random: () => 0.5,
        log: createLogger({ name: 'trunk', level: 'silent' }),
        streams,
        keepAliveMs,
      },
    );
    this.#pools.push(pool);
    return pool;
  };

  /** A flow to the Service `ECHO`. */
  readonly open = async (pool: GatewayPool): Promise<Ear> => new Ear(await pool.open(ECHO, 'opaque'));

  /** The same, on which a text has come back. */
  readonly opened = async (pool: GatewayPool, text = 'x'): Promise<Ear> => {
    const ear = (await this.open(pool)).say(text);
    await ear.hears(text);
    return ear;
  };
}

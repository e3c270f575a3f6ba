import { once } from 'node:events';
import tls from 'node:tls';
import { systemClock } from '../../src/base/clock.ts';
import type { TargetSource, TargetSpec } from '../../src/discovery/target-spec.ts';
import { Gateway, type GatewayOptions } from '../../src/gateway/gateway.ts';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { type Authority, createAnchor, createIssuer } from '../../src/identity/authority/issue.ts';
import type { SessionProtocol } from '../../src/proxy/http/messages.ts';
import { encodeTransportHeader } from '../../src/proxy/io/transport-header.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { KeptAuthority } from './kept-authority.ts';
import { withoutPeerObject } from './mesh-client.ts';
import { WireClient } from './wire-client.ts';

/** What a client connects with when it is to be served. */
export type ClientSettings = tls.ConnectionOptions & { allowHalfOpen?: boolean };

/** Settings that are not about keys, certificates and versions. */
const OF_SOCKETS = new Set([
  'ALPNProtocols',
  'servername',
  'allowHalfOpen',
  'highWaterMark',
  'localAddress',
  'socket',
]);

const DAY_MS = 86_400_000;
/** The authority is older than every certificate of a test, so that some of them can have expired. */
const LONG_AGO = { ...systemClock, now: () => Date.now() - 30 * DAY_MS };

/** A service of one or more endpoints on this machine. */
export function service(name: string, ports: readonly number[], port = 80): TargetSpec {
  return { name, port, endpoints: ports.map((one) => ({ host: '127.0.0.1', port: one, ready: true })) };
}

/** An authority that has been there for a month. */
export async function oldAuthority(): Promise<Authority> {
  return createIssuer(await createAnchor({ clock: LONG_AGO }), { clock: LONG_AGO });
}

const kept = new KeptAuthority(oldAuthority);

/**
 * A gateway in this process that a test reaches over real sockets: its services and its identity can be
 * replaced, and its every refusal is counted.
 */
export class WireGateway {
  readonly gateway: Gateway;
  readonly authority: Authority;
  /** A client that may use it. */
  readonly client: Identity;
  port = 0;
  readonly #sockets = new Set<tls.TLSSocket>();
  readonly #listeners = new Set<(key: string) => void>();
  readonly #identityListeners = new Set<() => void>();
  #specs: readonly TargetSpec[];
  /** The client's keys and certificates, read once. */
  #context: tls.SecureContext | undefined;
  #identity: Identity;

  private constructor(
    parts: { authority: Authority; own: Identity; client: Identity; specs: readonly TargetSpec[] },
    options: Partial<GatewayOptions>,
  ) {
    this.authority = parts.authority;
    this.client = parts.client;
    this.#specs = parts.specs;
    this.#identity = parts.own;
    this.gateway = new Gateway({
      listen: { host: '127.0.0.1', port: 0 },
      identity: {
        current: () => this.#identity,
        subscribe: (listener) => {
          this.#identityListeners.add(listener);
          return () => this.#identityListeners.delete(listener);
        },
        ready: { ok: true, reason: '' },
        close: () => Promise.resolve(),
      },
      targets: this.#targets(),
      clock: systemClock,
      random: Math.random,
      log: createLogger({ name: 'gateway', level: 'silent' }),
      graceMs: 0,
      ...options,
    });
  }

  static async start(
    specs: readonly TargetSpec[],
    options: Partial<GatewayOptions> = {},
  ): Promise<WireGateway> {
    const authority = await kept.authority;
    const own = await kept.leaf('gateway.west');
    const client = await kept.leaf('client.east');
    const started = new WireGateway({ authority, own, client, specs }, options);
    [{ port: started.port }] = await started.gateway.start();
    return started;
  }

  #targets(): TargetSource {
    return {
      get: (name, port) => this.#specs.find((spec) => spec.name === name && spec.port === port),
      keys: () => this.#specs.map(({ name, port }) => `${name}:${port}`),
      subscribe: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      ready: { ok: true, reason: '' },
      close: () => Promise.resolve(),
    };
  }

  /** Replaces the services. */
  serve(specs: readonly TargetSpec[]): void {
    const keys = new Set([...this.#specs, ...specs].map(({ name, port }) => `${name}:${port}`));
    this.#specs = specs;
    for (const key of keys) for (const listener of this.#listeners) listener(key);
  }

  /** Gives the gateway another certificate, or other trust anchors. */
  rotate(identity: Identity): void {
    this.#identity = identity;
    for (const listener of this.#identityListeners) listener();
  }

  /** Connections refused so far, by reason. */
  get refused(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.gateway.counters.refused);
  }

  /** Failures so far, by kind, HTTP and raw alike. */
  get failures(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const [key, count] of this.gateway.counters.failures) {
      const kind = key.split('\t').at(-1) ?? '';
      counts[kind] = (counts[kind] ?? 0) + count;
    }
    return counts;
  }

  settings(change: ClientSettings = {}): ClientSettings {
    const { cert, key, ca } = this.client;
    return {
      host: '127.0.0.1',
      port: this.port,
      servername: 'gateway.west',
      ALPNProtocols: ['transport.l5d.io/v1'],
      ...(Object.keys(change).every((name) => OF_SOCKETS.has(name))
        ? { secureContext: (this.#context ??= tls.createSecureContext({ cert, key, ca })) }
        : { cert, key, ca }),
      checkServerIdentity: () => undefined,
      allowHalfOpen: true,
      ...change,
    };
  }

  /** A socket whose handshake has not begun to be waited for. */
  dial(change: ClientSettings = {}): tls.TLSSocket {
    const socket = withoutPeerObject(tls.connect(this.settings(change)));
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
    return socket;
  }

  /** A connection that is ready for bytes; nothing has been sent yet. */
  async connect(change: ClientSettings = {}): Promise<WireClient> {
    const socket = this.dial(change);
    await once(socket, 'secureConnect');
    return new WireClient(socket);
  }

  /** A connection for a service. */
  async open(name: string, protocol: SessionProtocol, change: ClientSettings = {}): Promise<WireClient> {
    const client = await this.connect(change);
    client.send(encodeTransportHeader({ name, port: 80, protocol }));
    return client;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.gateway.stop();
  }
}

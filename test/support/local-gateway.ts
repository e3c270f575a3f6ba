import { systemClock } from '../../src/base/clock.ts';
import type { TargetSource, TargetSpec } from '../../src/discovery/target-spec.ts';
import { Gateway, type GatewayOptions } from '../../src/gateway/gateway.ts';
import type { IdentitySource } from '../../src/identity/sources/identity.ts';
import type { Authority } from '../../src/identity/authority/issue.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { fixedIdentity } from './fixed-identity.ts';
import { keptAuthority } from './kept-authority.ts';
import { MeshClient } from './mesh-client.ts';

/** A gateway in this process, under the authority that all have here. */
export interface IssuedGateway {
  readonly gateway: Gateway;
  readonly port: number;
  /** Of its certificate and its clients'. */
  readonly issuer: Authority;
  /** The gateway's own. */
  readonly identity: IdentitySource;
  /** A client with a certificate of that identity; closed with the gateway. */
  clientOf(identity: string): Promise<MeshClient>;
  close(): Promise<void>;
}

/** Starts a gateway on a free port. `name` is its identity. */
export async function issuedGateway(
  name: string,
  targets: TargetSource,
  options: Partial<GatewayOptions> = {},
): Promise<IssuedGateway> {
  const issuer = await keptAuthority.authority;
  const identity = fixedIdentity(await keptAuthority.leaf(name));
  const gateway = new Gateway({
    listen: { host: '127.0.0.1', port: 0 },
    identity,
    targets,
    clock: systemClock,
    random: Math.random,
    log: createLogger({ name: 'gateway', level: 'silent' }),
    graceMs: 0,
    ...options,
  });
  const [{ port }] = await gateway.start();
  const clients: MeshClient[] = [];
  return {
    gateway,
    port,
    issuer,
    identity,
    clientOf: async (client) => {
      const leaf = await keptAuthority.leaf(client);
      const opened = new MeshClient({ port, gatewayIdentity: name, identity: leaf });
      clients.push(opened);
      return opened;
    },
    close: async () => {
      for (const client of clients) client.close();
      await gateway.stop();
    },
  };
}

/** One with whatever targets a test gives. */
export interface LocalGateway extends IssuedGateway {
  /** A client that may use it. */
  readonly client: MeshClient;
  /** Replaces the targets; listeners hear of those that differ. */
  serve(specs: readonly TargetSpec[]): void;
}

export async function localGateway(
  specs: readonly TargetSpec[],
  options: Partial<GatewayOptions> = {},
): Promise<LocalGateway> {
  let current = specs;
  const listeners = new Set<(key: string) => void>();
  const targets: TargetSource = {
    get: (name, port) => current.find((spec) => spec.name === name && spec.port === port),
    keys: () => current.map(({ name, port }) => `${name}:${port}`),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    ready: { ok: true, reason: '' },
    close: () => Promise.resolve(),
  };
  const started = await issuedGateway('gateway.west', targets, options);
  return {
    ...started,
    client: await started.clientOf('client.east'),
    serve: (next) => {
      const keys = new Set([...current, ...next].map(({ name, port: at }) => `${name}:${at}`));
      current = next;
      for (const key of keys) for (const listener of listeners) listener(key);
    },
  };
}

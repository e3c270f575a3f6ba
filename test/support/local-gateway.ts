import { systemClock } from '../../src/base/clock.ts';
import type { TargetSource, TargetSpec } from '../../src/discovery/target.ts';
import { Gateway, type GatewayOptions } from '../../src/gateway/gateway.ts';
import type { IdentitySource } from '../../src/identity/identity.ts';
import { type Authority, createAnchor, createIssuer, issueLeaf } from '../../src/identity/issue.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { MeshClient } from './mesh-client.ts';

/** A gateway in this process, with a certificate authority of its own and whatever targets a test gives. */
export interface LocalGateway {
  readonly gateway: Gateway;
  readonly port: number;
  /** Of its certificate and its client's. */
  readonly issuer: Authority;
  /** The gateway's own. */
  readonly identity: IdentitySource;
  /** A client that may use it. */
  readonly client: MeshClient;
  /** Replaces the targets; listeners hear of those that differ. */
  serve(specs: readonly TargetSpec[]): void;
  close(): Promise<void>;
}

export async function localGateway(
  specs: readonly TargetSpec[],
  options: Partial<GatewayOptions> = {},
): Promise<LocalGateway> {
  const issuer = await createIssuer(await createAnchor({}), {});
  const own = await issueLeaf(issuer, { identity: 'gateway.west' });
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
  const source: IdentitySource = {
    current: () => own,
    subscribe: () => () => undefined,
    ready: { ok: true, reason: '' },
    close: () => Promise.resolve(),
  };
  const gateway = new Gateway({
    listen: { host: '127.0.0.1', port: 0 },
    identity: source,
    targets,
    clock: systemClock,
    random: Math.random,
    log: createLogger({ name: 'gateway', level: 'silent' }),
    graceMs: 0,
    ...options,
  });
  const [{ port }] = await gateway.start();
  const identity = await issueLeaf(issuer, { identity: 'client.east' });
  const client = new MeshClient({ port, gatewayIdentity: 'gateway.west', identity });
  return {
    gateway,
    port,
    issuer,
    identity: source,
    client,
    serve: (next) => {
      const keys = new Set([...current, ...next].map(({ name, port: at }) => `${name}:${at}`));
      current = next;
      for (const key of keys) for (const listener of listeners) listener(key);
    },
    close: async () => {
      client.close();
      await gateway.stop();
    },
  };
}

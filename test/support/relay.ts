import type { TargetSpec } from '../../src/discovery/target.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Egress, type EgressOptions } from '../../src/egress/egress.ts';
import type { Route } from '../../src/egress/routes.ts';
import type { GatewayOptions } from '../../src/gateway/gateway.ts';
import { issueLeaf } from '../../src/identity/issue.ts';
import { captureLog } from './captured-log.ts';
import type { RelayedService } from './egress-process.ts';
import { eventually } from './eventually.ts';
import { fixedIdentity } from './fixed-identity.ts';
import { freePorts } from './free-port.ts';
import { type LocalGateway, localGateway } from './local-gateway.ts';
import { PlainClient } from './plain-client.ts';

/** The whole path in this process: plain client, egress, gateway. */
export interface Relay {
  readonly local: LocalGateway;
  readonly egress: Egress;
  readonly client: PlainClient;
  /** Routes to other gateways, in place of all. */
  route(gateway: Route['gateway']): void;
  close(): Promise<void>;
}

export async function startRelay(options: {
  readonly specs: readonly TargetSpec[];
  readonly services: readonly RelayedService[];
  readonly gateway?: Partial<GatewayOptions>;
  readonly egress?: Partial<EgressOptions>;
}): Promise<Relay> {
  const local = await localGateway(options.specs, options.gateway);
  const identity = await issueLeaf(local.issuer, { identity: 'egress.east' });
  const captured = captureLog();
  const egress = new Egress({
    listenAddress: '127.0.0.1',
    identity: fixedIdentity(identity),
    clock: systemClock,
    random: Math.random,
    log: captured.log,
    lookup: () => Promise.resolve([]),
    graceMs: 0,
    ...options.egress,
  });
  const ports = new Map<string, number>();
  const free = await freePorts(options.services.length);
  for (const [index, { name, port = 80 }] of options.services.entries())
    ports.set(`${name}:${port}`, free[index] ?? 0);
  const route = (gateway: Route['gateway']) => {
    const routes = options.services.map(({ name, port = 80, protocol }): Route => {
      const listenPort = ports.get(`${name}:${port}`) ?? 0;
      return { label: `demo/${name}:${port}`, namespace: 'demo', listenPort, name, port, protocol, gateway };
    });
    egress.update(new Map(routes.map((one) => [one.listenPort, one])));
  };
  route({ addresses: ['127.0.0.1'], port: local.port, identity: 'gateway.west' });
  const client = new PlainClient(ports);
  const served = () => captured.lines.filter(({ msg }) => msg === 'route served').length;
  await eventually('the egress listens', () => served() >= options.services.length);
  return {
    local,
    egress,
    client,
    route,
    close: async () => {
      client.close();
      await egress.stop();
      await local.close();
    },
  };
}

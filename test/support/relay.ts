import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Egress, type EgressOptions } from '../../src/egress/egress.ts';
import type { LinkGateway } from '../../src/api/link/link-schema.ts';
import type { GatewayOptions } from '../../src/gateway/gateway.ts';
import { captureLog, type LogLine } from './captured-log.ts';
import { type RelayedService, routeOf } from './egress-process.ts';
import { eventually } from './eventually.ts';
import { fixedIdentity } from './fixed-identity.ts';
import { freePorts } from './free-port.ts';
import { noNames } from './host-names.ts';
import { keptAuthority } from './kept-authority.ts';
import { type LocalGateway, localGateway } from './local-gateway.ts';
import { PlainClient } from './plain-client.ts';

/** The whole path in this process: plain client, egress, gateway. */
export interface Relay {
  readonly local: LocalGateway;
  readonly egress: Egress;
  readonly client: PlainClient;
  /** The egress' log. */
  readonly lines: readonly LogLine[];
  /** Routes to other gateways, in place of all. */
  route(gateway: LinkGateway): void;
  /** Says something else of the same services. */
  say(services: readonly RelayedService[]): void;
  /** A client with an address of its own, as another pod has. */
  clientAt(address: string): PlainClient;
  close(): Promise<void>;
}

export async function startRelay(options: {
  readonly specs: readonly TargetSpec[];
  readonly services: readonly RelayedService[];
  readonly gateway?: Partial<GatewayOptions>;
  readonly egress?: Partial<EgressOptions>;
  /** Identity of the egress; default `egress.east`. */
  readonly as?: string;
}): Promise<Relay> {
  const local = await localGateway(options.specs, options.gateway);
  const identity = await keptAuthority.leaf(options.as ?? 'egress.east');
  const captured = captureLog();
  const egress = new Egress({
    listenAddress: '127.0.0.1',
    identity: fixedIdentity(identity),
    clock: systemClock,
    random: Math.random,
    log: captured.log,
    names: noNames(systemClock),
    graceMs: 0,
    ...options.egress,
  });
  const ports = new Map<string, number>();
  const free = await freePorts(options.services.length);
  for (const [index, { name, port = 80 }] of options.services.entries())
    ports.set(`${name}:${port}`, free[index] ?? 0);
  let { services } = options;
  let current: LinkGateway | undefined;
  const route = (gateway: LinkGateway) => {
    current = gateway;
    const routes = services.map((service) =>
      routeOf(service, ports.get(`${service.name}:${service.port ?? 80}`) ?? 0, gateway),
    );
    egress.update(new Map(routes.map((one) => [one.listenPort, one])));
  };
  route({ addresses: ['127.0.0.1'], port: local.port, identity: 'gateway.west' });
  const client = new PlainClient(ports);
  const guests: PlainClient[] = [];
  const served = () => captured.lines.filter(({ msg }) => msg === 'route served').length;
  await eventually('the egress listens', () => served() >= options.services.length);
  return {
    local,
    egress,
    client,
    lines: captured.lines,
    route,
    say: (next) => {
      services = next;
      if (current !== undefined) route(current);
    },
    clientAt: (address) => {
      const guest = new PlainClient(ports, address);
      guests.push(guest);
      return guest;
    },
    close: async () => {
      for (const one of [client, ...guests]) one.close();
      await egress.stop();
      await local.close();
    },
  };
}

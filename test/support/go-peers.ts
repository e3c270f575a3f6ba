import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { identityFiles, writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { binaries } from '../testbed/binaries.ts';
import path from 'node:path';
import { EgressProcess } from './egress-process.ts';
import { freePorts } from './free-port.ts';
import { GatewayProcess, type ServedTarget } from './gateway-process.ts';
import { Peer } from './peer.ts';
import type { Runtime } from './runtime-process.ts';

/** What became of a Go client's requests. */
export interface Outcome {
  /** Bytes of all answers. */
  readonly bytes: number;
  /** How many ended how: by HTTP status, by gRPC status, or by error. */
  readonly results: Readonly<Record<string, number>>;
  readonly seconds: number;
}

/** What has come to a Go server. */
export interface Stats {
  readonly opened: number;
  readonly closed: number;
  readonly frames: Readonly<Record<string, number>>;
  /** PINGs that ask for an answer. */
  readonly pings: number;
}

/** A process of `test/testbed/peers`. */
export class GoPeer extends Peer {
  /** @param args as `test/testbed/peers/main.go` has them */
  constructor(...args: readonly string[]) {
    super(binaries(['go-peers'])['go-peers'], args);
  }
}

/** Runs a Go client to its end. */
export async function goClient<T>(...args: readonly (string | number)[]): Promise<T> {
  return new GoPeer(...args.map(String)).result<T>();
}

/** A server written in Go, and what it counts. */
export class GoServer {
  readonly port: number;
  readonly #peer: GoPeer;
  readonly #stats: number;

  private constructor(peer: GoPeer, port: number, stats: number) {
    this.#peer = peer;
    this.port = port;
    this.#stats = stats;
  }

  static async start(kind: 'http-server' | 'grpc-server', ...args: readonly string[]): Promise<GoServer> {
    const peer = new GoPeer(kind, ...args);
    const { port, stats } = await peer.line<{ port: number; stats: number }>(0);
    return new GoServer(peer, port, stats);
  }

  async stats(): Promise<Stats> {
    return (await (await fetch(`http://127.0.0.1:${this.#stats}/`)).json()) as Stats;
  }

  close(): Promise<void> {
    return this.#peer.close();
  }
}

/**
 * The ways by which a client reaches a service: a plain port of the egress, and an mTLS port of the gateway.
 */
export const WAYS = ['egress', 'gateway'] as const;
export type Way = (typeof WAYS)[number];

/** A gateway and an egress to it, for clients that know neither transport headers nor stream mode. */
export interface Ways {
  readonly gateway: GatewayProcess;
  readonly egress: EgressProcess;
  /** `host:port` of a service, by its first label. */
  address(way: Way, service: string): string;
  /** Flags for a Go client: mTLS where it speaks to the gateway itself. */
  flags(way: Way): string[];
  close(): Promise<void>;
}

/** @param services first labels, with the ports of their endpoints, which speak HTTP/2 */
export async function openWays(
  runtime: Runtime,
  dir: string,
  services: Readonly<Record<string, readonly number[]>>,
): Promise<Ways> {
  const issuer = await createIssuer(await createAnchor({}), {});
  const names = Object.keys(services);
  const full = (name: string) => `${name}.demo.svc.cluster.local`;
  const targets: ServedTarget[] = names.map((name) => ({
    name: full(name),
    ports: services[name] ?? [],
    protocol: 'http2',
  }));
  const listeners = await freePorts(names.length);
  const gateway = await GatewayProcess.start({
    runtime,
    dir: path.join(dir, 'gateway'),
    identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
    targets,
    flags: ['--listeners', ...names.map((name, index) => `127.0.0.1:${listeners[index]}=${name}.demo:80`)],
  });
  const egress = await EgressProcess.start({
    runtime,
    dir: path.join(dir, 'egress'),
    identity: await issueLeaf(issuer, { identity: 'client.east' }),
    gateway: { addresses: ['127.0.0.1'], port: gateway.port, identity: 'gateway.west' },
    services: names.map((name) => ({ name: full(name) })),
  });
  const client = path.join(dir, 'client');
  const leaf = await issueLeaf(issuer, { identity: 'vm.east' });
  await writePemFiles(client, identityFiles(leaf), { force: true });
  return {
    gateway,
    egress,
    address: (way, service) =>
      `127.0.0.1:${way === 'egress' ? egress.portOf(full(service)) : listeners[names.indexOf(service)]}`,
    flags: (way) => (way === 'egress' ? [] : ['-tls', client, '-server-name', 'gateway.west']),
    close: async () => {
      await egress.kill();
      await gateway.kill();
    },
  };
}

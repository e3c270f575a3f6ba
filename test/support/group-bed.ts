import type net from 'node:net';
import path from 'node:path';
import type { LinkGateway } from '../../src/api/link/link-schema.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { EgressProcess, type RelayedService } from './egress-process.ts';
import { GatewayProcess, type ServedTarget } from './gateway-process.ts';
import type { GroupObjects } from './group-objects.ts';
import { KeptHttp1 } from './kept-connections.ts';
import { grpcOrigin, http1Origin, type Origin, rawOrigin } from './origins.ts';
import type { Runtime } from './runtime-process.ts';
import { WireClient } from './wire-client.ts';

const service = (name: string) => `${name}.demo.svc.cluster.local`;
/** The Services that a bed has: HTTP/1, gRPC, and raw connections. */
export const WEB = service('web');
export const GRPC = service('grpc');
export const RAW = service('raw');

/** A client that sends all of its requests on one HTTP/1 connection, as long as it is let. */
export class KeptClient {
  readonly #kept: KeptHttp1;

  constructor(open: () => Promise<WireClient<net.Socket>>) {
    this.#kept = new KeptHttp1(open);
  }

  /** How many connections it has needed. */
  get connections(): number {
    return this.#kept.connections;
  }

  /** As `KeptHttp1.cut`. */
  get cut(): number {
    return this.#kept.cut;
  }

  /** Sends a request. @returns the status of the response, and its head */
  async ask(method = 'GET', at = '/hello', body?: string): Promise<{ status: number; head: string }> {
    const length = body === undefined ? '' : `content-length: ${body.length}\r\n`;
    const answer = await this.#kept.ask(
      `${method} ${at} HTTP/1.1\r\nhost: ${WEB}\r\n${length}\r\n${body ?? ''}`,
    );
    const last = answer.replace(/^(?:HTTP\/1\.1 1\d\d [^]*?\r\n\r\n)+/, '');
    return {
      status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(last)?.[1] ?? 0),
      head: last.split('\r\n\r\n')[0] ?? '',
    };
  }

  close(): void {
    this.#kept.close();
  }
}

/** Gateways of several clusters before the same applications, and an egress with one port for all of them. */
export class GroupBed {
  readonly egress: EgressProcess;
  readonly #options: BedOptions;
  readonly #origins: Record<'h1' | 'grpc' | 'raw', Origin>;
  readonly #gateways: Map<string, GatewayProcess>;

  private constructor(
    options: BedOptions,
    parts: {
      readonly egress: EgressProcess;
      readonly origins: Record<'h1' | 'grpc' | 'raw', Origin>;
      readonly gateways: Map<string, GatewayProcess>;
    },
  ) {
    this.#options = options;
    this.egress = parts.egress;
    this.#origins = parts.origins;
    this.#gateways = parts.gateways;
  }

  static async start(options: BedOptions): Promise<GroupBed> {
    const { runtime, dir, clusters, groups, flags = {}, local } = options;
    const issuer = await createIssuer(await createAnchor({}), {});
    const origins = { h1: await http1Origin(), grpc: await grpcOrigin(), raw: await rawOrigin() };
    const gateways = new Map<string, GatewayProcess>();
    await Promise.all(
      clusters.map(async (cluster) => {
        const identity = await issueLeaf(issuer, { identity: `gateway.${cluster}` });
        const own = { runtime, dir: path.join(dir, cluster), identity, targets: targets(origins) };
        const more = flags[cluster] === undefined ? {} : { flags: flags[cluster] };
        gateways.set(cluster, await GatewayProcess.start({ ...own, ...more }));
      }),
    );
    const members: Record<string, LinkGateway> = {};
    for (const [cluster, { port }] of gateways)
      members[cluster] = { addresses: ['127.0.0.1'], port, identity: `gateway.${cluster}` };
    const services: RelayedService[] = [
      { name: WEB, members, federated: 'web-federated', ...(local === undefined ? {} : { local }) },
      { name: GRPC, members },
      { name: RAW, members, protocol: 'opaque', federated: 'web-federated' },
    ];
    const egress = await EgressProcess.start({
      runtime,
      dir: path.join(dir, 'egress'),
      identity: await issueLeaf(issuer, { identity: 'egress.east' }),
      gateway: { addresses: ['127.0.0.1'], port: 1, identity: 'nobody' },
      services,
      ...(groups === undefined ? {} : { groups }),
    });
    return new GroupBed(options, { egress, origins, gateways });
  }

  gateway(cluster: string): GatewayProcess {
    const found = this.#gateways.get(cluster);
    if (found === undefined) throw new Error(`no gateway of ${cluster}`);
    return found;
  }

  /**
   * Takes all endpoints of a Service, of the web Service by default, away from a gateway, or gives them back.
   */
  serve(cluster: string, which: 'all' | 'none', service = WEB): void {
    this.gateway(cluster).serve(targets(this.#origins, which === 'all' ? undefined : service));
  }

  client(): KeptClient {
    return new KeptClient(async () => new WireClient(await this.egress.client.connect(WEB)));
  }

  /** A metric of a group, by its labels. */
  async numbers(name: string, dst = WEB): Promise<Record<string, number>> {
    const text = await this.egress.metrics();
    return Object.fromEntries(
      [...text.matchAll(new RegExp(`^${name}\\{(.*)\\} (\\d+)$`, 'gm'))]
        .filter(([, labels = '']) => labels.includes(`dst="demo/${dst}:80"`))
        .map(([, labels = '', count]) => [labels.replace(/^.*?dst="[^"]*",/, ''), Number(count)]),
    );
  }

  /** The share of each cluster of the web Service at the egress now, in percent. */
  async shares(): Promise<Record<string, number>> {
    const all = (await this.egress.metrics()).matchAll(
      /^linkspan_failover_share\{.*backend="(\w+)".*\} (\S+)$/gm,
    );
    return Object.fromEntries([...all].map(([, name = '', share]) => [name, Number(share) * 100]));
  }

  /** How many requests each cluster has served, in the order of `clusters`. */
  async served(dst = WEB): Promise<number[]> {
    const all = await this.numbers('outbound_group_requests_total', dst);
    return this.#options.clusters.map((one) => all[`backend="${one}",outcome="served"`] ?? 0);
  }

  async stop(): Promise<void> {
    await this.egress.kill();
    for (const one of this.#gateways.values()) await one.kill();
    for (const origin of Object.values(this.#origins)) origin.close();
  }
}

interface BedOptions {
  readonly runtime: Runtime;
  readonly dir: string;
  readonly clusters: readonly string[];
  /** What the group of the web Service is divided by; default: all are equal. */
  readonly groups?: GroupObjects;
  /** Ports of applications that are the web Service's member in the egress' own cluster. */
  readonly local?: readonly number[];
  /** Further flags of gateways, by cluster. */
  readonly flags?: Readonly<Record<string, readonly string[]>>;
}

/** @param without the Service that has no endpoint */
function targets(origins: Record<'h1' | 'grpc' | 'raw', Origin>, without?: string): ServedTarget[] {
  const all: ServedTarget[] = [
    { name: WEB, ports: [origins.h1.port] },
    { name: GRPC, ports: [origins.grpc.port], protocol: 'http2' },
    { name: RAW, ports: [origins.raw.port], protocol: 'opaque' },
  ];
  return all.map((one) => (one.name === without ? { ...one, ports: [] } : one));
}

import type net from 'node:net';
import path from 'node:path';
import type { LinkGateway } from '../../src/api/link/link-schema.ts';
import { type Authority, createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
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

/** What the gateways of a site serve. */
type Origins = Record<'h1' | 'grpc' | 'raw', Origin>;

/**
 * Gateways of several clusters before the same applications, for the tests of a file: to start one costs more
 * than most tests do with it. Each bed finds them as if they had just been started.
 */
export class GroupSite {
  readonly #options: SiteOptions;
  readonly #gateways = new Map<string, { readonly process: GatewayProcess; readonly flags: string }>();
  /** Clusters whose gateway may serve something else than at its start. */
  readonly #changed = new Set<string>();
  /** Made by the first bed. */
  #made: Promise<Parts> | undefined;

  constructor(options: SiteOptions) {
    this.#options = options;
  }

  get #parts(): Promise<Parts> {
    this.#made ??= partsOf();
    return this.#made;
  }

  get clusters(): readonly string[] {
    return this.#options.clusters;
  }

  gateway(cluster: string): GatewayProcess {
    const found = this.#gateways.get(cluster);
    if (found === undefined) throw new Error(`no gateway of ${cluster}`);
    return found.process;
  }

  /** Takes all endpoints of a Service away from a gateway, or gives them back. */
  async serve(cluster: string, which: 'all' | 'none', service: string): Promise<void> {
    const { origins } = await this.#parts;
    if (which === 'none') this.#changed.add(cluster);
    this.gateway(cluster).serve(targets(origins, which === 'all' ? undefined : service));
  }

  /**
   * Replaces the gateways that were ended, changed, or have other flags, and starts an egress with one port
   * for each Service.
   */
  async open(bed: BedOptions): Promise<EgressProcess> {
    const { runtime, dir } = this.#options;
    const { issuer } = await this.#parts;
    await Promise.all(this.clusters.map((cluster) => this.#ready(cluster, bed.flags?.[cluster] ?? [])));
    const members: Record<string, LinkGateway> = {};
    for (const [cluster, { process }] of this.#gateways)
      members[cluster] = { addresses: ['127.0.0.1'], port: process.port, identity: `gateway.${cluster}` };
    const local = bed.local === undefined ? {} : { local: bed.local };
    const services: RelayedService[] = [
      { name: WEB, members, federated: 'web-federated', ...local },
      { name: GRPC, members },
      { name: RAW, members, protocol: 'opaque', federated: 'web-federated' },
    ];
    return EgressProcess.start({
      runtime,
      dir: path.join(dir, 'egress'),
      identity: await issueLeaf(issuer, { identity: 'egress.east' }),
      gateway: { addresses: ['127.0.0.1'], port: 1, identity: 'nobody' },
      services,
      ...(bed.groups === undefined ? {} : { groups: bed.groups }),
    });
  }

  async #ready(cluster: string, flags: readonly string[]): Promise<void> {
    const there = this.#gateways.get(cluster);
    const said = flags.join(' ');
    if (there?.flags === said && !there.process.ending && !this.#changed.has(cluster)) return;
    await there?.process.kill();
    const { runtime, dir } = this.#options;
    const { issuer, origins } = await this.#parts;
    const process = await GatewayProcess.start({
      runtime,
      dir: path.join(dir, cluster),
      identity: await issueLeaf(issuer, { identity: `gateway.${cluster}` }),
      targets: targets(origins),
      flags,
    });
    this.#gateways.set(cluster, { process, flags: said });
    this.#changed.delete(cluster);
  }

  async stop(): Promise<void> {
    for (const { process } of this.#gateways.values()) await process.kill();
    const parts = await this.#made;
    for (const origin of Object.values(parts?.origins ?? {})) origin.close();
  }
}

interface Parts {
  readonly issuer: Authority;
  readonly origins: Origins;
}

async function partsOf(): Promise<Parts> {
  const issuer = await createIssuer(await createAnchor({}), {});
  return { issuer, origins: { h1: await http1Origin(), grpc: await grpcOrigin(), raw: await rawOrigin() } };
}

/** The gateways of a site, and an egress of its own with one port for all of them. */
export class GroupBed {
  readonly egress: EgressProcess;
  readonly #site: GroupSite;

  private constructor(site: GroupSite, egress: EgressProcess) {
    this.#site = site;
    this.egress = egress;
  }

  static async start(site: GroupSite, options: BedOptions = {}): Promise<GroupBed> {
    return new GroupBed(site, await site.open(options));
  }

  gateway(cluster: string): GatewayProcess {
    return this.#site.gateway(cluster);
  }

  /**
   * Takes all endpoints of a Service, of the web Service by default, away from a gateway, or gives them back.
   */
  serve(cluster: string, which: 'all' | 'none', service = WEB): Promise<void> {
    return this.#site.serve(cluster, which, service);
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
    return this.#site.clusters.map((one) => all[`backend="${one}",outcome="served"`] ?? 0);
  }

  /** The gateways stay, for the next one. */
  async stop(): Promise<void> {
    await this.egress.kill();
  }
}

interface SiteOptions {
  readonly runtime: Runtime;
  readonly dir: string;
  readonly clusters: readonly string[];
}

interface BedOptions {
  /** What the group of the web Service is divided by; default: all are equal. */
  readonly groups?: GroupObjects;
  /** Ports of applications that are the web Service's member in the egress' own cluster. */
  readonly local?: readonly number[];
  /** Further flags of gateways, by cluster. */
  readonly flags?: Readonly<Record<string, readonly string[]>>;
}

/** @param without the Service that has no endpoint */
function targets(origins: Origins, without?: string): ServedTarget[] {
  const all: ServedTarget[] = [
    { name: WEB, ports: [origins.h1.port] },
    { name: GRPC, ports: [origins.grpc.port], protocol: 'http2' },
    { name: RAW, ports: [origins.raw.port], protocol: 'opaque' },
  ];
  return all.map((one) => (one.name === without ? { ...one, ports: [] } : one));
}

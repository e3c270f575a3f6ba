import path from 'node:path';
import tls from 'node:tls';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { EgressProcess } from './egress-process.ts';
import { freePort } from './free-port.ts';
import { GatewayProcess, type ServedTarget } from './gateway-process.ts';
import { pod } from './listed-clients.ts';
import { http1Origin, http2Origin, type Origin, rawOrigin } from './origins.ts';
import type { PlainClient } from './plain-client.ts';
import { echoOf } from './raw-echo.ts';
import type { Runtime } from './runtime-process.ts';

/** The Service of which everything can be seen. */
export const SEEN = { namespace: 'demo', name: 'web' } as const;
const service = (name: string) => `${name}.${SEEN.namespace}.svc.cluster.local`;
const EAST = 'serviceaccount.identity.linkerd.east.example';
const GATEWAY = 'gateway.linkerd.serviceaccount.identity.linkerd.west.example';
const POD = '127.0.0.11';
const UNTIL = new Date(Date.now() + 3_600_000).toISOString();

/** A gateway and an egress before applications, and clients that meet each thing that can be counted. */
export class ObservedTraffic {
  readonly #origins: readonly Origin[];
  readonly #client: PlainClient;
  readonly gateway: GatewayProcess;
  readonly egress: EgressProcess;
  /** Of a gateway that has no endpoints. */
  readonly #empty: GatewayProcess;

  private constructor(parts: {
    origins: readonly Origin[];
    gateway: GatewayProcess;
    empty: GatewayProcess;
    egress: EgressProcess;
  }) {
    this.#origins = parts.origins;
    this.gateway = parts.gateway;
    this.#empty = parts.empty;
    this.egress = parts.egress;
    this.#client = parts.egress.clientAt(POD);
  }

  /** @param dir a folder of its own */
  static async start(runtime: Runtime, dir: string): Promise<ObservedTraffic> {
    const issuer = await createIssuer(await createAnchor({}), {});
    const [h1, h2, raw] = [await http1Origin(), await http2Origin(), await rawOrigin()];
    const serve = async (name: string, targets: readonly ServedTarget[]) =>
      GatewayProcess.start({
        runtime,
        dir: path.join(dir, name),
        identity: await issueLeaf(issuer, { identity: GATEWAY }),
        targets,
        flags: ['--allow-trust-domain', 'east.example', '--allow-fault-injection'],
      });
    const gateway = await serve('gateway', [
      {
        name: service(SEEN.name),
        ports: [h1.port],
        protocol: 'http1',
        rateLimit: { total: '100/s burst 6' },
        faults: [{ abort: { status: 503 }, percent: 30, until: UNTIL }],
        rules: {
          profile: {
            routes: [
              { name: 'status', condition: { pathRegex: '/status/.*' }, isRetryable: true },
              { name: 'silence', condition: { pathRegex: '/silence' }, timeout: '50ms' },
            ],
            retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 1, ttl: '10s' },
          },
        },
      },
      { name: service('two'), ports: [h2.port], protocol: 'http2' },
      { name: service('raw'), ports: [raw.port], protocol: 'opaque' },
      { name: service('refusing'), ports: [await freePort()], protocol: 'http1' },
    ]);
    // One that cannot be connected to is known to be lost before anybody asks.
    const empty = await serve('north', [{ name: service('two'), ports: [], protocol: 'http2' }]);
    const own = { addresses: ['127.0.0.1'], port: gateway.port, identity: GATEWAY };
    const egress = await EgressProcess.start({
      runtime,
      dir: path.join(dir, 'egress'),
      identity: await issueLeaf(issuer, { identity: `linkspan-egress.linkerd.${EAST}` }),
      gateway: own,
      pods: { [POD]: [pod('other', 'web')] },
      services: [
        { name: service(SEEN.name), mirror: `${SEEN.name}-west` },
        { name: service('raw'), protocol: 'opaque' },
        { name: service('refusing') },
        { name: service('closed'), namespace: 'mine', allowedNamespaces: ['shop'] },
        {
          name: service('two'),
          mirror: `${SEEN.name}-federated`,
          members: { west: own, north: { ...own, port: empty.port } },
        },
      ],
    });
    return new ObservedTraffic({ origins: [h1, h2, raw], gateway, empty, egress });
  }

  /** Some requests of each kind; failures are what they are for. */
  async round(): Promise<void> {
    const ask = (kind: 'http1' | 'http2', name: string, at: string) =>
      this.#client.request(kind, service(name), { path: at }).catch(() => undefined);
    await Promise.all([
      ...Array.from({ length: 8 }, () => ask('http1', SEEN.name, '/hello')),
      ...Array.from({ length: 4 }, () => ask('http1', SEEN.name, '/status/503')),
      ask('http1', SEEN.name, '/silence'),
      this.#malformed(),
      ask('http2', 'two', '/hello'),
      ask('http1', 'refusing', '/hello'),
      ask('http1', 'closed', '/hello'),
      echoOf(this.#client.connect(service('raw'))),
      this.#stranger(),
    ]);
  }

  /** A request that the egress itself answers. */
  async #malformed(): Promise<void> {
    const socket = await this.#client.connect(service(SEEN.name));
    socket.end('GET / HTTP/1.1\r\nno field\r\n\r\n');
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
  }

  /** A client that shows no certificate. */
  async #stranger(): Promise<void> {
    const socket = tls.connect({ host: '127.0.0.1', port: this.gateway.port, rejectUnauthorized: false });
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.once('close', resolve));
  }

  async stop(): Promise<void> {
    this.#client.close();
    for (const one of [this.egress, this.gateway, this.#empty]) await one.kill();
    for (const origin of this.#origins) origin.close();
  }
}

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { LinkGateway } from '../../src/api/link/link-schema.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { EgressProcess, type RelayedService } from '../../test/support/egress-process.ts';
import { GatewayProcess } from '../../test/support/gateway-process.ts';
import { nghttpd } from '../../test/support/nghttp2.ts';
import { http1Origin } from '../../test/support/origins.ts';
import type { Runtime } from '../../test/support/runtime-process.ts';

export const CLUSTERS = ['west', 'north', 'south'] as const;

const service = (name: string) => `${name}.demo.svc.cluster.local`;
/** What clients and applications speak. */
export const PROTOCOLS = ['http1', 'http2'] as const;
export type Protocol = (typeof PROTOCOLS)[number];
/** How Services are served: by one cluster, by three behind one gateway, or by three with their own. */
export const KINDS = ['alone', 'together', 'apart'] as const;
export type Kind = (typeof KINDS)[number];

export function serviceOf(kind: Kind, protocol: Protocol): string {
  return service(`${kind}-${protocol}`);
}

/** Gateways of three clusters before two applications, and what an egress has to know of them. */
export interface Clusters {
  /** The gateway of each cluster. */
  readonly gateways: Readonly<Record<string, LinkGateway>>;
  /** All clusters, each with the same gateway. */
  readonly oneGateway: Readonly<Record<string, LinkGateway>>;
  /** For an egress. */
  readonly identity: Identity;
  stop(): Promise<void>;
}

/** @param quiet names of further Services, whose applications speak HTTP/1 */
export async function startClusters(
  runtime: Runtime,
  dir: string,
  quiet: readonly string[] = [],
): Promise<Clusters> {
  const issuer = await createIssuer(await createAnchor({}), {});
  const files = path.join(dir, 'files');
  mkdirSync(files, { recursive: true });
  writeFileSync(path.join(files, 'hello'), 'hello\n');
  // Over HTTP/2 nothing else is as fast: an egress that mostly waits has its answers one by one.
  const origins = { http1: await http1Origin(), http2: await nghttpd(1000, files) };
  const targets = PROTOCOLS.flatMap((protocol) =>
    KINDS.map((kind) => ({ name: serviceOf(kind, protocol), ports: [origins[protocol].port], protocol })),
  );
  for (const name of quiet) targets.push({ name, ports: [origins.http1.port], protocol: 'http1' });
  const started = await Promise.all(
    CLUSTERS.map(async (cluster) => {
      const identity = await issueLeaf(issuer, { identity: `gateway.${cluster}` });
      return GatewayProcess.start({ runtime, dir: path.join(dir, cluster), identity, targets });
    }),
  );
  const gateways = started.map(({ port }, nth) => ({
    addresses: ['127.0.0.1'],
    port,
    identity: `gateway.${CLUSTERS[nth] ?? ''}`,
  }));
  const members = (gatewayOf: (nth: number) => LinkGateway | undefined) =>
    Object.fromEntries(
      CLUSTERS.flatMap((cluster, nth) => {
        const gateway = gatewayOf(nth);
        return gateway === undefined ? [] : [[cluster, gateway]];
      }),
    );
  return {
    gateways: members((nth) => gateways[nth]),
    oneGateway: members(() => gateways[0]),
    identity: await issueLeaf(issuer, { identity: 'egress.east' }),
    stop: async () => {
      for (const gateway of started) await gateway.kill();
      for (const origin of Object.values(origins)) await origin.close();
    },
  };
}

/** An egress before these clusters. @param first a file that is loaded before it */
export async function startEgress(
  runtime: Runtime,
  dir: string,
  clusters: Clusters,
  services: readonly RelayedService[],
  first?: string,
): Promise<EgressProcess> {
  const [gateway] = Object.values(clusters.gateways);
  if (gateway === undefined) throw new Error('there is no gateway');
  return EgressProcess.start({
    runtime,
    dir,
    identity: clusters.identity,
    gateway,
    services,
    ...(first === undefined ? {} : { first }),
  });
}

/** Ties a process, with its threads, to one processor. */
export function pin(pid: number, cpu: number): void {
  execFileSync('taskset', ['-a', '-c', '-p', String(cpu), String(pid)], { stdio: 'ignore' });
}

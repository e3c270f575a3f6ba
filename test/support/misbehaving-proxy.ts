import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { parse, stringify } from 'yaml';
import type { Cluster } from '../testbed/cluster.ts';

/** What the proxy does to requests; change it at any time. */
export interface Misbehaviour {
  /** Share of requests that are answered with 500. */
  errors: number;
  /** Watches are cut after this time, milliseconds; 0: never. */
  cutWatchesMs: number;
  /** Requests get no answer at all. */
  hang: boolean;
  /** Answers are noise. */
  garbage: boolean;
}

/** An API server seen through a proxy that misbehaves: a kubeconfig that leads to it, and what it does. */
export interface MisbehavingApi {
  readonly kubeconfig: string;
  readonly does: Misbehaviour;
  /** Requests that passed through, as `METHOD path`. */
  readonly requests: string[];
  close(): Promise<void>;
}

interface Kubeconfig {
  clusters: { cluster: Record<string, unknown> }[];
  users: { user: Record<string, string> }[];
}

/** Plain HTTP in front, the administrator's certificate behind. Random decisions are drawn from `random`. */
export async function misbehavingApi(
  cluster: Cluster,
  options: { address: string; random?: () => number },
): Promise<MisbehavingApi> {
  const random = options.random ?? Math.random;
  const does: Misbehaviour = { errors: 0, cutWatchesMs: 0, hang: false, garbage: false };
  const config = parse(readFileSync(cluster.kubeconfigFile, 'utf8')) as Kubeconfig;
  const user = config.users[0]?.user ?? {};
  const decode = (key: string) => Buffer.from(user[key] ?? '', 'base64');
  const agent = new https.Agent({
    keepAlive: true,
    ca: readFileSync(cluster.caFile),
    cert: decode('client-certificate-data'),
    key: decode('client-key-data'),
  });
  const requests: string[] = [];
  const server = http.createServer((request, response) => {
    requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
    if (does.hang) return;
    if (does.garbage) {
      response.writeHead(200, { 'content-type': 'application/json' }).end('<html>captive portal</html>');
      return;
    }
    if (random() < does.errors) {
      response.writeHead(500, { 'content-type': 'application/json' }).end('{"kind":"Status","code":500}');
      return;
    }
    const upstream = https.request(
      cluster.server + (request.url ?? ''),
      { agent, method: request.method, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
        answer.on('error', () => response.destroy());
        if (does.cutWatchesMs > 0 && request.url?.includes('watch=true') === true)
          setTimeout(() => response.destroy(), does.cutWatchesMs).unref();
      },
    );
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    request.pipe(upstream);
  });
  await new Promise<void>((resolve) => server.listen(0, options.address, resolve));
  const { port } = server.address() as AddressInfo;
  const proxied = {
    ...config,
    clusters: config.clusters.map((entry) => ({
      ...entry,
      cluster: { server: `http://${options.address}:${port}` },
    })),
    users: config.users.map((entry) => ({ ...entry, user: {} })),
  };
  return {
    kubeconfig: stringify(proxied),
    does,
    requests,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      agent.destroy();
    },
  };
}

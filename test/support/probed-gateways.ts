import { createServer, type Server } from 'node:http';
import { freePort } from './free-port.ts';
import { address } from '../testbed/netns.ts';

/** Ports that answer probes as gateways do, by cluster, which can be taken away and given back. */
export class ProbedGateways {
  readonly host = address(18);
  readonly #ports = new Map<string, number>();
  readonly #servers = new Map<string, Server>();

  /** The port of a cluster's gateway, which is open from then on. */
  async port(cluster: string): Promise<number> {
    const port = await freePort();
    this.#ports.set(cluster, port);
    await this.open(cluster);
    return port;
  }

  open(cluster: string): Promise<void> {
    const server = createServer((_, response) => response.end('ready\n'));
    this.#servers.set(cluster, server);
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#ports.get(cluster), this.host, resolve);
    });
  }

  kill(...clusters: readonly string[]): void {
    for (const cluster of clusters) {
      this.#servers.get(cluster)?.closeAllConnections();
      this.#servers.get(cluster)?.close();
    }
  }

  close(): void {
    this.kill(...this.#ports.keys());
  }
}

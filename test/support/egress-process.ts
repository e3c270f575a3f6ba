import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Route } from '../../src/egress/routes.ts';
import type { Identity } from '../../src/identity/identity.ts';
import { identityFiles, writePemFiles } from '../../src/identity/pem-files.ts';
import type { EgressProgramConfig } from './egress-program.ts';
import { freePorts } from './free-port.ts';
import { PlainClient } from './plain-client.ts';
import { type Runtime, RuntimeProcess } from './runtime-process.ts';

/** A service as clients of the egress ask for it. */
export interface RelayedService {
  readonly name: string;
  readonly port?: number;
  /** What connects there; default: the first bytes say it. */
  readonly protocol?: Route['protocol'];
}

/** An egress as a process of its own, with routes to one gateway. */
export class EgressProcess extends RuntimeProcess {
  readonly client: PlainClient;
  readonly #dir: string;

  private constructor(
    runtime: Runtime,
    file: string,
    { dir, admin, client }: { dir: string; admin: number; client: PlainClient },
  ) {
    super(runtime, [path.join(import.meta.dirname, 'egress-program.ts'), file], admin);
    this.#dir = dir;
    this.client = client;
  }

  /** @param dir a folder of its own; the identity and the routes are written there */
  static async start(options: {
    readonly runtime: Runtime;
    readonly dir: string;
    readonly identity: Identity;
    readonly gateway: Route['gateway'];
    readonly services: readonly RelayedService[];
    readonly streams?: boolean;
  }): Promise<EgressProcess> {
    const { runtime, dir, gateway, streams = true } = options;
    await writePemFiles(dir, identityFiles(options.identity), { force: true });
    const ports = new Map<string, number>();
    const routes: Route[] = [];
    const [admin = 0, ...listenPorts] = await freePorts(options.services.length + 1);
    for (const [index, { name, port = 80, protocol }] of options.services.entries()) {
      const listenPort = listenPorts[index] ?? 0;
      ports.set(`${name}:${port}`, listenPort);
      routes.push({
        label: `demo/${name}:${port}`,
        namespace: 'demo',
        listenPort,
        name,
        port,
        protocol,
        gateway,
      });
    }
    const config: EgressProgramConfig = { identityDir: dir, admin, streams, graceMs: 0, routes };
    const file = path.join(dir, 'egress.json');
    writeFileSync(file, JSON.stringify(config));
    const started = new EgressProcess(runtime, file, { dir, admin, client: new PlainClient(ports) });
    await started.says(
      'the egress listens',
      (log) => log.split('"msg":"route served"').length > routes.length,
    );
    return started;
  }

  /** Gives it another certificate. */
  async rotate(identity: Identity): Promise<void> {
    await writePemFiles(this.#dir, identityFiles(identity), { force: true });
  }

  override async kill(): Promise<void> {
    this.client.close();
    await super.kill();
  }
}

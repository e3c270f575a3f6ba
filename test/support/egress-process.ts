import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Route } from '../../src/egress/routes.ts';
import type { Identity } from '../../src/identity/identity.ts';
import { identityFiles, writePemFiles } from '../../src/identity/pem-files.ts';
import type { EgressProgramConfig } from './egress-program.ts';
import { eventually } from './eventually.ts';
import { freePorts } from './free-port.ts';
import type { Runtime } from './gateway-process.ts';
import { PlainClient } from './plain-client.ts';

const root = path.join(import.meta.dirname, '../..');

/** A service as clients of the egress ask for it. */
export interface RelayedService {
  readonly name: string;
  readonly port?: number;
  /** What connects there; default: the first bytes say it. */
  readonly protocol?: Route['protocol'];
}

/** An egress as a process of its own, with routes to one gateway. */
export class EgressProcess {
  readonly client: PlainClient;
  readonly admin: number;
  readonly #child: ChildProcess;
  readonly #dir: string;
  readonly #log: () => string;

  private constructor(
    child: ChildProcess,
    parts: { client: PlainClient; admin: number; dir: string; log: () => string },
  ) {
    this.#child = child;
    this.client = parts.client;
    this.admin = parts.admin;
    this.#dir = parts.dir;
    this.#log = parts.log;
  }

  get log(): string {
    return this.#log();
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
      routes.push({ label: `demo/${name}:${port}`, listenPort, name, port, protocol, gateway });
    }
    const config: EgressProgramConfig = { identityDir: dir, admin, streams, graceMs: 0, routes };
    const file = path.join(dir, 'egress.json');
    writeFileSync(file, JSON.stringify(config));
    const binary = path.join(root, 'node_modules/.bin', runtime);
    const child = spawn(binary, [path.join(import.meta.dirname, 'egress-program.ts'), file]);
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await eventually(
      'the egress listens',
      () => {
        if (child.exitCode !== null) throw new Error(`the egress ended: ${text}`);
        return text.split('"msg":"route served"').length > routes.length;
      },
      { timeoutMs: 30_000 },
    );
    return new EgressProcess(child, { client: new PlainClient(ports), admin, dir, log: () => text });
  }

  /** Gives it another certificate. */
  async rotate(identity: Identity): Promise<void> {
    await writePemFiles(this.#dir, identityFiles(identity), { force: true });
  }

  async metrics(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.admin}/metrics`)).text();
  }

  async kill(): Promise<void> {
    this.client.close();
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
  }
}

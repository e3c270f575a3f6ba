import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Identity } from '../../src/identity/identity.ts';
import { identityFiles, writePemFiles } from '../../src/identity/pem-files.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';

const root = path.join(import.meta.dirname, '../..');

/** The runtimes that the gateway has to run on. */
export const RUNTIMES = ['node', 'bun'] as const;
export type Runtime = (typeof RUNTIMES)[number];

export interface ServedTarget {
  readonly name: string;
  readonly port?: number;
  readonly ports: readonly number[];
  readonly protocol?: 'http1' | 'http2' | 'opaque';
  readonly rateLimit?: object;
  readonly faults?: readonly object[];
  /** Other keys of the file: retries, timeouts. */
  readonly rules?: Readonly<Record<string, unknown>>;
}

/** `linkspan gateway` as a process of its own, with services from a file. */
export class GatewayProcess {
  readonly port: number;
  readonly admin: number;
  readonly #child: ChildProcess;
  readonly #targets: string;
  readonly #log: () => string;

  private constructor(
    child: ChildProcess,
    parts: { port: number; admin: number; targets: string; log: () => string },
  ) {
    this.#child = child;
    this.port = parts.port;
    this.admin = parts.admin;
    this.#targets = parts.targets;
    this.#log = parts.log;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get log(): string {
    return this.#log();
  }

  /** @param dir a folder of its own; the identity and the targets are written there */
  static async start(options: {
    readonly runtime: Runtime;
    readonly dir: string;
    readonly identity: Identity;
    /** Services from a file; without them, and with a kubeconfig among the flags, from the cluster. */
    readonly targets?: readonly ServedTarget[];
    readonly flags?: readonly string[];
  }): Promise<GatewayProcess> {
    const { runtime, dir } = options;
    await writePemFiles(dir, identityFiles(options.identity), { force: true });
    const targets = path.join(dir, 'targets.json');
    if (options.targets !== undefined) writeFileSync(targets, targetsFile(options.targets));
    const binary = path.join(root, 'node_modules/.bin', runtime);
    const admin = await freePort();
    const flags = [
      '--identity-dir',
      dir,
      ...(options.targets === undefined ? [] : ['--targets', targets]),
      '--listen',
      '127.0.0.1:0',
      '--admin',
      `127.0.0.1:${admin}`,
    ];
    const child = spawn(binary, [
      path.join(root, 'bin/linkspan.js'),
      'gateway',
      ...flags,
      ...(options.flags ?? []),
    ]);
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const port = () => Number(/"listen":"127\.0\.0\.1:(\d+)"/.exec(text)?.[1] ?? 0);
    await eventually(
      'the gateway listens',
      () => {
        if (child.exitCode !== null) throw new Error(`the gateway ended: ${text}`);
        return Promise.resolve(port() > 0);
      },
      { timeoutMs: 30_000 },
    );
    return new GatewayProcess(child, { port: port(), admin, targets, log: () => text });
  }

  /** Replaces the services; the gateway watches the file. */
  serve(targets: readonly ServedTarget[]): void {
    writeFileSync(this.#targets, targetsFile(targets));
  }

  async metrics(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.admin}/metrics`)).text();
  }

  terminate(): void {
    this.#child.kill('SIGTERM');
  }

  /** When the process is no more: its exit code. */
  async ended(): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
    return this.#child.exitCode;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended();
  }
}

function targetsFile(targets: readonly ServedTarget[]): string {
  const services = targets.map(({ name, port = 80, ports, rules, ...rest }) => ({
    name,
    port,
    endpoints: ports.map((one) => `127.0.0.1:${one}`),
    ...rest,
    ...rules,
  }));
  return JSON.stringify({ services });
}

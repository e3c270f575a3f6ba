import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { identityFiles, writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { freePort } from './free-port.ts';
import { loadFirst, root, type Runtime, RuntimeProcess } from './runtime-process.ts';

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
export class GatewayProcess extends RuntimeProcess {
  #port = 0;
  #probe = 0;
  #targets = '';

  get port(): number {
    return this.#port;
  }

  /** The port for other clusters' probes. */
  get probe(): number {
    return this.#probe;
  }

  /** @param dir a folder of its own; the identity and the targets are written there */
  static async start(options: {
    readonly runtime: Runtime;
    readonly dir: string;
    readonly identity: Identity;
    /** Services from a file; without them, and with a kubeconfig among the flags, from the cluster. */
    readonly targets?: readonly ServedTarget[];
    readonly flags?: readonly string[];
    /** A file that is loaded before the program. */
    readonly first?: string;
    /** Variables of its environment. */
    readonly env?: Readonly<Record<string, string>>;
  }): Promise<GatewayProcess> {
    const { runtime, dir } = options;
    await writePemFiles(dir, identityFiles(options.identity), { force: true });
    const targets = path.join(dir, 'targets.json');
    if (options.targets !== undefined) writeFileSync(targets, targetsFile(options.targets));
    const [admin, probe] = [await freePort(), await freePort()];
    const flags = [
      '--identity-dir',
      dir,
      ...(options.targets === undefined ? [] : ['--targets', targets]),
      '--listen',
      '127.0.0.1:0',
      '--admin',
      `127.0.0.1:${admin}`,
      '--probe',
      `127.0.0.1:${probe}`,
    ];
    const program = [...loadFirst(runtime, options.first), path.join(root, 'bin/linkspan.js')];
    const command = [...program, 'gateway', ...flags, ...(options.flags ?? [])];
    const started = new GatewayProcess(runtime, command, admin, options.env);
    started.#probe = probe;
    started.#targets = targets;
    const port = await started.says(
      'the gateway listens',
      (log) => /"listen":"127\.0\.0\.1:(?<port>[1-9]\d*)"/.exec(log)?.groups?.['port'],
    );
    started.#port = Number(port);
    return started;
  }

  /** Replaces the services; the gateway watches the file. */
  serve(targets: readonly ServedTarget[]): void {
    writeFileSync(this.#targets, targetsFile(targets));
  }
}

/** The text of a file with services, for `--targets`. */
export function targetsFile(targets: readonly ServedTarget[]): string {
  const services = targets.map(({ name, port = 80, ports, rules, ...rest }) => ({
    name,
    port,
    endpoints: ports.map((one) => `127.0.0.1:${one}`),
    ...rest,
    ...rules,
  }));
  return JSON.stringify({ services });
}

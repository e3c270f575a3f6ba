import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Route } from '../../src/egress/routes/routes.ts';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { identityFiles, writePemFiles } from '../../src/identity/authority/pem-files.ts';
import type { EgressProgramConfig } from './egress-program.ts';
import { freePorts } from './free-port.ts';
import { PlainClient } from './plain-client.ts';
import { loadFirst, type Runtime, RuntimeProcess } from './runtime-process.ts';

/** A service as clients of the egress ask for it. */
export interface RelayedService {
  readonly name: string;
  readonly port?: number;
  /** What connects there; default: the first bytes say it. */
  readonly protocol?: Route['protocol'];
  /** Of its mirror; default `demo`. */
  readonly namespace?: string;
  readonly allowedNamespaces?: readonly string[];
}

/** The route that the mirror of a service asks for. */
export function routeOf(service: RelayedService, listenPort: number, gateway: Route['gateway']): Route {
  const { name, port = 80, protocol, namespace = 'demo', allowedNamespaces } = service;
  return {
    label: `${namespace}/${name}:${port}`,
    namespace,
    listenPort,
    name,
    port,
    protocol,
    gateway,
    ...(allowedNamespaces === undefined ? {} : { allowedNamespaces }),
  };
}

/** An egress as a process of its own, with routes to one gateway. */
export class EgressProcess extends RuntimeProcess {
  readonly client: PlainClient;
  readonly #ports: ReadonlyMap<string, number>;
  readonly #guests: PlainClient[] = [];
  readonly #dir: string;

  private constructor(
    runtime: Runtime,
    file: string,
    parts: { dir: string; admin: number; ports: ReadonlyMap<string, number>; first: string | undefined },
  ) {
    const { dir, admin, ports, first } = parts;
    const program = [...loadFirst(runtime, first), path.join(import.meta.dirname, 'egress-program.ts')];
    super(runtime, [...program, file], admin);
    this.#dir = dir;
    this.#ports = ports;
    this.client = new PlainClient(ports);
  }

  /** @param dir a folder of its own; the identity and the routes are written there */
  static async start(options: {
    readonly runtime: Runtime;
    readonly dir: string;
    readonly identity: Identity;
    readonly gateway: Route['gateway'];
    readonly services: readonly RelayedService[];
    readonly streams?: boolean;
    /** Pods by their address; default: clients are not told apart. */
    readonly pods?: EgressProgramConfig['pods'];
    /** A file that is loaded before the program. */
    readonly first?: string;
  }): Promise<EgressProcess> {
    const { runtime, dir, gateway, streams = true } = options;
    await writePemFiles(dir, identityFiles(options.identity), { force: true });
    const ports = new Map<string, number>();
    const routes: Route[] = [];
    const [admin = 0, ...listenPorts] = await freePorts(options.services.length + 1);
    for (const [index, service] of options.services.entries()) {
      const route = routeOf(service, listenPorts[index] ?? 0, gateway);
      ports.set(`${route.name}:${route.port}`, route.listenPort);
      routes.push(route);
    }
    const config: EgressProgramConfig = {
      identityDir: dir,
      admin,
      streams,
      graceMs: 0,
      routes,
      ...(options.pods === undefined ? {} : { pods: options.pods }),
    };
    const file = path.join(dir, 'egress.json');
    writeFileSync(file, JSON.stringify(config));
    const started = new EgressProcess(runtime, file, { dir, admin, ports, first: options.first });
    await started.says(
      'the egress listens',
      (log) => log.split('"msg":"route served"').length > routes.length,
    );
    return started;
  }

  /** Where it listens for a service (`name`, port 80 unless said otherwise). */
  portOf(name: string, port = 80): number {
    return this.#ports.get(`${name}:${port}`) ?? 0;
  }

  /** A client with an address of its own, as another pod has. */
  clientAt(address: string): PlainClient {
    const client = new PlainClient(this.#ports, address);
    this.#guests.push(client);
    return client;
  }

  /** Gives it another certificate. */
  async rotate(identity: Identity): Promise<void> {
    await writePemFiles(this.#dir, identityFiles(identity), { force: true });
  }

  override async kill(): Promise<void> {
    for (const client of [this.client, ...this.#guests]) client.close();
    await super.kill();
  }
}

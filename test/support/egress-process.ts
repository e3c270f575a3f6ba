import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { LinkGateway } from '../../src/api/link/link-schema.ts';
import { memberLabel, type Route } from '../../src/egress/routes/route.ts';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { identityFiles, writePemFiles } from '../../src/identity/authority/pem-files.ts';
import type { EgressProgramConfig } from './egress-program.ts';
import { freePorts } from './free-port.ts';
import { targetsFile } from './gateway-process.ts';
import type { GroupObjects } from './group-objects.ts';
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
  /** The name of its mirror, by which it is counted; default: its own. */
  readonly mirror?: string;
  readonly allowedNamespaces?: readonly string[];
  /** For a group: the gateway of each cluster, by its name; default: the egress' one gateway serves it. */
  readonly members?: Readonly<Record<string, LinkGateway>>;
  /** The federated Service whose group it is, by the name of its members; default: nothing is said of it. */
  readonly federated?: string;
  /** For a group: ports of applications on this machine that are its member in the egress' own cluster. */
  readonly local?: readonly number[];
}

/** The route that the mirror of a service asks for. */
export function routeOf(service: RelayedService, listenPort: number, gateway: LinkGateway): Route {
  const {
    name,
    port = 80,
    protocol,
    namespace = 'demo',
    mirror = name,
    allowedNamespaces,
    members,
    federated = name,
    local,
  } = service;
  const settings = {
    label: `${namespace}/${mirror}:${port}`,
    namespace,
    listenPort,
    protocol,
    ...(allowedNamespaces === undefined ? {} : { allowedNamespaces }),
  };
  if (members === undefined) return { ...settings, targetCluster: 'west', name, port, gateway };
  return {
    ...settings,
    service: `${namespace}/${federated}`,
    ...(local === undefined ? {} : { local: { name, port } }),
    members: Object.entries(members).map(([cluster, own]) => {
      const label = memberLabel(settings.label, cluster);
      return { cluster, label, name, port, gateway: own };
    }),
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
    parts: Pick<Parameters<typeof EgressProcess.start>[0], 'dir' | 'first' | 'env'> & {
      readonly admin: number;
      readonly ports: ReadonlyMap<string, number>;
    },
  ) {
    const { dir, admin, ports, first, env } = parts;
    const program = [...loadFirst(runtime, first), path.join(import.meta.dirname, 'egress-program.ts')];
    super(runtime, [...program, file], admin, env);
    this.#dir = dir;
    this.#ports = ports;
    this.client = new PlainClient(ports);
  }

  /** @param dir a folder of its own; the identity and the routes are written there */
  static async start(options: {
    readonly runtime: Runtime;
    readonly dir: string;
    readonly identity: Identity;
    readonly gateway: LinkGateway;
    readonly services: readonly RelayedService[];
    readonly streams?: boolean;
    /** What its cluster is called, for gateways; default: they are not told. */
    readonly cluster?: string;
    /** What its groups are divided by; default: all members are equal. */
    readonly groups?: GroupObjects;
    /** Pods by their address; default: clients are not told apart. */
    readonly pods?: EgressProgramConfig['pods'];
    /** As `EgressProgramConfig.traces`. */
    readonly traces?: EgressProgramConfig['traces'];
    /** A file that is loaded before the program. */
    readonly first?: string;
    /** Variables of its environment. */
    readonly env?: Readonly<Record<string, string>>;
    /** Where its admin port is; default: loopback. */
    readonly adminHost?: string;
  }): Promise<EgressProcess> {
    const { runtime, dir, gateway, streams = true } = options;
    await writePemFiles(dir, identityFiles(options.identity), { force: true });
    const ports = new Map<string, number>();
    const routes: Route[] = [];
    const [admin = 0, ...listenPorts] = await freePorts(options.services.length + 1);
    for (const [index, service] of options.services.entries()) {
      const route = routeOf(service, listenPorts[index] ?? 0, gateway);
      ports.set(`${service.name}:${service.port ?? 80}`, route.listenPort);
      routes.push(route);
    }
    const groups = path.join(dir, 'groups.json');
    if (options.groups !== undefined) writeFileSync(groups, JSON.stringify(options.groups));
    const local = path.join(dir, 'local.json');
    const own = options.services.flatMap(({ name, local: ports }) =>
      ports === undefined ? [] : [{ name, ports }],
    );
    writeFileSync(local, targetsFile(own));
    const config: EgressProgramConfig = {
      identityDir: dir,
      admin,
      adminHost: options.adminHost,
      streams,
      graceMs: 0,
      routes,
      ...(options.cluster === undefined ? {} : { cluster: options.cluster }),
      ...(options.pods === undefined ? {} : { pods: options.pods }),
      ...(options.groups === undefined ? {} : { groups }),
      ...(own.length === 0 ? {} : { local }),
      ...(options.traces === undefined ? {} : { traces: options.traces }),
    };
    const file = path.join(dir, 'egress.json');
    writeFileSync(file, JSON.stringify(config));
    const started = new EgressProcess(runtime, file, { ...options, admin, ports });
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

  /** Tells it other objects of its groups; only if it was started with some. */
  divide(groups: GroupObjects): void {
    writeFileSync(path.join(this.#dir, 'groups.json'), JSON.stringify(groups));
    this.signal('SIGHUP');
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

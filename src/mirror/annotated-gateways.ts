import type { V1Service } from '@kubernetes/client-node';
import { readAnnotation } from '../base/annotations.ts';
import { messageOf } from '../base/errors.ts';
import { DEFAULT_GATEWAY_NAME, EXPORT_GATEWAY_NAME, EXPORT_GATEWAY_NAMESPACE } from '../base/names.ts';
import { parseDuration } from '../base/duration.ts';
import type { KubeClient } from '../kube/client.ts';
import type { BudgetShare } from '../kube/peer-budget.ts';
import { type PeerReading, reflectorLimits } from '../kube/peer-reading.ts';
import { Reflector } from '../kube/reflector.ts';
import { services } from '../kube/resource.ts';
import { IndexedStore } from '../kube/store.ts';
import { gatewayFacts } from '../link/link-gen.ts';
import { GatewayPath, type GatewayPathOptions } from './gateway-path.ts';
import { parseKey } from './naming.ts';

export interface AnnotatedGatewaysOptions
  extends Omit<GatewayPathOptions, 'hosts' | 'port' | 'identity' | 'probe' | 'own' | 'onChange'> {
  readonly remote: KubeClient;
  /** Limits of what the target may make us hold, also of how many watches there may be. */
  readonly limits: PeerReading;
  /** Probes of a gateway end after this time at the latest. */
  readonly timeoutMs: number;
  readonly failureThreshold: number;
  /** Something about a gateway (`namespace/name`) has changed. */
  readonly onChange: (gateway: string, worse: boolean) => void;
}

interface Followed {
  /** Undefined where its watch would be one too many: then nothing is known of it. */
  readonly reflector: Reflector<V1Service> | undefined;
  readonly budget: BudgetShare<V1Service> | undefined;
  path: GatewayPath | undefined;
  /** What the path was made from. */
  text: string;
  readonly users: Set<string>;
}

/** The gateway that an export names by annotation, `namespace/name`; undefined when it goes through the Link's. */
export function annotatedGateway(service: V1Service): string | undefined {
  const annotations = service.metadata?.annotations;
  const namespace = readAnnotation(annotations, EXPORT_GATEWAY_NAMESPACE);
  if (namespace === undefined || namespace === '') return undefined;
  return `${namespace}/${readAnnotation(annotations, EXPORT_GATEWAY_NAME) || DEFAULT_GATEWAY_NAME}`;
}

/** The gateways that exports name by annotation: each is a Service of the target, watched as long as an export uses it. */
export class AnnotatedGateways {
  readonly #options: AnnotatedGatewaysOptions;
  readonly #followed = new Map<string, Followed>();
  readonly #stopping = new Set<Promise<void>>();

  constructor(options: AnnotatedGatewaysOptions) {
    this.#options = options;
  }

  /** Tells which gateway an export uses now; undefined: none of its own (any more). */
  use(key: string, gateway: string | undefined): void {
    for (const [name, followed] of this.#followed) {
      if (name !== gateway && followed.users.delete(key) && followed.users.size === 0) this.#forget(name);
    }
    if (gateway === undefined) return;
    const followed = this.#followed.get(gateway) ?? this.#follow(gateway);
    followed.users.add(key);
  }

  /** The way to a gateway; undefined while its Service is not known or says too little. */
  path(gateway: string): GatewayPath | undefined {
    return this.#followed.get(gateway)?.path;
  }

  /** Whether the gateway's Service has been asked for, so that its absence means something. */
  known(gateway: string): boolean {
    return this.#followed.get(gateway)?.reflector?.synced ?? false;
  }

  users(gateway: string): readonly string[] {
    return [...(this.#followed.get(gateway)?.users ?? [])];
  }

  async stop(): Promise<void> {
    for (const name of this.#followed.keys()) this.#forget(name);
    await Promise.all(this.#stopping);
  }

  #follow(gateway: string): Followed {
    const { remote, clock, random, log, limits } = this.#options;
    if (!limits.budget.watchFits) return this.#keep(gateway, undefined, undefined);
    const { namespace, name } = parseKey(gateway);
    const bounds = reflectorLimits<V1Service>(limits);
    const store = new IndexedStore<V1Service>();
    const reflector = new Reflector<V1Service>({
      client: remote,
      resource: services,
      namespace,
      fieldSelector: `metadata.name=${name}`,
      store,
      clock,
      random,
      log,
      ...bounds,
    });
    const followed = this.#keep(gateway, reflector, bounds.budget);
    const changed = () => this.#changed(gateway, store.list()[0]);
    store.subscribe(changed);
    reflector.start();
    reflector.whenSynced().then(changed, () => undefined);
    return followed;
  }

  #keep(gateway: string, reflector: Followed['reflector'], budget: Followed['budget']): Followed {
    const users = this.#followed.get(gateway)?.users ?? new Set<string>();
    const followed: Followed = { reflector, budget, path: undefined, text: '', users };
    this.#followed.set(gateway, followed);
    this.#count();
    return followed;
  }

  #count(): void {
    const open = [...this.#followed.values()].filter(({ reflector }) => reflector !== undefined).length;
    this.#options.limits.budget.countWatches(this, open, this.#followed.size);
  }

  /** A watch has ended: one that was one too many may begin. */
  #followWaiting(): void {
    for (const [gateway, { reflector }] of this.#followed) {
      if (reflector !== undefined || !this.#options.limits.budget.watchFits) continue;
      this.#follow(gateway);
      return;
    }
  }

  #forget(gateway: string): void {
    const followed = this.#followed.get(gateway);
    if (followed === undefined) return;
    this.#followed.delete(gateway);
    this.#count();
    followed.path?.stop();
    followed.budget?.close();
    this.#followWaiting();
    if (followed.reflector === undefined) return;
    const stopped = followed.reflector.stop().finally(() => this.#stopping.delete(stopped));
    this.#stopping.add(stopped);
  }

  #changed(gateway: string, service: V1Service | undefined): void {
    const followed = this.#followed.get(gateway);
    if (followed === undefined) return;
    const options = this.#pathOptions(gateway, service);
    const text = JSON.stringify(options ?? null);
    if (text === followed.text) return;
    followed.text = text;
    followed.path?.stop();
    const { clock, random, log, resolver, health, cluster } = this.#options;
    followed.path =
      options === undefined
        ? undefined
        : new GatewayPath({
            ...options,
            clock,
            random,
            log,
            resolver,
            health,
            cluster,
            own: true,
            onChange: (worse) => this.#options.onChange(gateway, worse),
          });
    followed.path?.start();
    this.#options.onChange(gateway, true);
  }

  #pathOptions(
    gateway: string,
    service: V1Service | undefined,
  ): Pick<GatewayPathOptions, 'hosts' | 'port' | 'identity' | 'probe'> | undefined {
    const { log, timeoutMs, failureThreshold } = this.#options;
    if (service === undefined) return undefined;
    try {
      const { namespace, name } = parseKey(gateway);
      const facts = gatewayFacts(service, { name, namespace, addresses: [], port: undefined });
      const { path, port, period } = facts.probe;
      const periodMs = parseDuration(period) ?? 3000;
      const probe = { path, port, periodMs, timeoutMs, failureThreshold };
      return { hosts: facts.addresses, port: facts.port, identity: facts.identity, probe };
    } catch (error) {
      log.warn({ gateway, cause: messageOf(error) }, 'gateway named by annotation is incomplete');
      return undefined;
    }
  }
}

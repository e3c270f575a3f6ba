import type { V1Service } from '@kubernetes/client-node';
import { forEachIsolated } from '../../base/isolation.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import type { BudgetShare } from '../../kube/budget/peer-budget.ts';
import { type PeerReading, reflectorLimits } from '../../kube/budget/peer-reading.ts';
import { Reflector } from '../../kube/informer/reflector.ts';
import { services } from '../../api/kubernetes/resource.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import { decideGateway, MAX_NAMED_GATEWAYS } from '../../linking/export-gateways.ts';
import { gatewayFacts } from '../../linking/link-gen.ts';
import type { Link } from '../../api/link/link-schema.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { GatewayFacts } from '../reconcile/mirror-facts.ts';
import { GatewayPath, type GatewayPathOptions } from './gateway-path.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';

/** The target, and the Link that says which of its gateways may be used. */
export interface AnnotatedGatewaysOptions
  extends Omit<GatewayPathOptions, 'hosts' | 'port' | 'identity' | 'probe' | 'own' | 'onChange'> {
  readonly remote: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** How much the target may make us hold and read, and how many watches there may be. */
  readonly limits: PeerReading;
  /** The Link's own gateway and its list of allowed ones, and path, period and time-out of its probes. */
  readonly link: Pick<Link, 'gateway' | 'imports' | 'probe'>;
  /** A gateway (`namespace/name`) has changed. `worse`: some address is gone or dead, or it may be. */
  readonly onChange: (gateway: string, worse: boolean) => void;
}

/**
 * What is done about a gateway that an export names: the Link's own is used, another is allowed, or it is
 * refused.
 */
type GatewayDecision =
  | { readonly kind: 'link' }
  | {
      readonly kind: 'allowed';
      readonly options: Pick<GatewayPathOptions, 'hosts' | 'port' | 'identity' | 'probe'>;
    }
  | { readonly kind: 'refused'; readonly message: string };

/** A gateway that is watched. */
interface Followed {
  readonly reflector: Reflector<V1Service>;
  readonly budget: BudgetShare<V1Service> | undefined;
  /** Undefined: its Service is not known, or is incomplete. */
  decision: GatewayDecision | undefined;
  /** Undefined unless the decision is `allowed`. */
  path: GatewayPath | undefined;
  /** The decision as text, to see whether it has changed. */
  text: string;
  /** Keys of the exports that name it. */
  readonly users: Set<string>;
}

/**
 * The gateways that exports name by annotation. Each is a Service of the target, watched as long as an export
 * names it. What that Service says is only compared with the Link's own gateway and with the Link's list of
 * allowed gateways, which give the addresses: where neither fits, nothing is resolved, probed or mirrored.
 */
export class AnnotatedGateways {
  readonly #options: AnnotatedGatewaysOptions;
  readonly #followed = new Map<string, Followed>();
  readonly #stopping = new Set<Promise<void>>();
  /** Exports whose gateway cannot be watched for want of room, with that gateway. */
  readonly #waiting = new Map<string, string>();
  readonly #unsubscribe: () => void;
  #stopped = false;

  constructor(options: AnnotatedGatewaysOptions) {
    this.#options = options;
    // Room for a watch also comes free elsewhere: slices that no selector finds share the budget
    // (`exports/hand-made-slices.ts`).
    this.#unsubscribe = options.limits.budget.whenWatchFits(() => this.#followWaiting());
  }

  /** An export names this gateway now; undefined: none, or none any more. */
  use(key: string, gateway: string | undefined): void {
    this.#waiting.delete(key);
    for (const [name, followed] of this.#followed) {
      if (name !== gateway && followed.users.delete(key) && followed.users.size === 0) this.#forget(name);
    }
    if (gateway === undefined) return;
    const followed = this.#followed.get(gateway) ?? this.#follow(gateway);
    if (followed === undefined) {
      this.#waiting.set(key, gateway);
      this.#count();
    } else followed.users.add(key);
  }

  /** What is known of a gateway and its path; `link`: it is the Link's own. */
  facts(gateway: string): GatewayFacts | 'link' {
    const followed = this.#followed.get(gateway);
    if (followed === undefined)
      return unusable(
        'refused',
        `exports name more gateways than may be watched (${MAX_NAMED_GATEWAYS} at most), ${gateway} is one too many`,
      );
    if (followed.decision?.kind === 'link') return 'link';
    if (followed.decision?.kind === 'refused') return unusable('refused', followed.decision.message);
    if (followed.path !== undefined) return followed.path.facts;
    // That its Service is absent is known only when it has been listed.
    return unusable(followed.reflector.synced ? 'unresolved' : 'resolving');
  }

  /** Which addresses may be used has changed: all are checked again. */
  recheck(): void {
    forEachIsolated('gateways of exports', this.#followed.values(), ({ path }) => path?.recheck());
  }

  /** The exports that name a gateway. */
  users(gateway: string): readonly string[] {
    return [...(this.#followed.get(gateway)?.users ?? [])];
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe();
    for (const name of this.#followed.keys()) this.#forget(name);
    await Promise.all(this.#stopping);
  }

  #follow(gateway: string): Followed | undefined {
    const { remote, clock, random, log, limits } = this.#options;
    if (!this.#hasRoom) return undefined;
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
    const followed: Followed = {
      reflector,
      budget: bounds.budget,
      decision: undefined,
      path: undefined,
      text: '',
      users: new Set(),
    };
    this.#followed.set(gateway, followed);
    this.#count();
    const changed = () => this.#changed(gateway, store.list()[0]);
    store.subscribe('mirrors: gateway Service of an export', changed);
    reflector.start();
    reflector.whenSynced().then(changed, () => undefined);
    return followed;
  }

  /** Tells the budget how many watches are open, and how many are wanted. */
  #count(): void {
    const wanted = this.#followed.size + new Set(this.#waiting.values()).size;
    this.#options.limits.budget.countWatches(this, this.#followed.size, wanted);
  }

  #forget(gateway: string): void {
    const followed = this.#followed.get(gateway);
    if (followed === undefined) return;
    this.#followed.delete(gateway);
    this.#count();
    followed.path?.stop();
    followed.budget?.close();
    const stopped = followed.reflector.stop().finally(() => this.#stopping.delete(stopped));
    this.#stopping.add(stopped);
    this.#followWaiting();
  }

  /** Watches as many of the gateways that wait as there is room for. */
  #followWaiting(): void {
    for (const next of new Set(this.#waiting.values())) {
      if (this.#stopped || !this.#hasRoom) return;
      const keys = [...this.#waiting].filter(([, gateway]) => gateway === next).map(([key]) => key);
      for (const key of keys) this.use(key, next);
      this.#options.onChange(next, false);
    }
  }

  /**
   * Whether one more may be watched: each is a watch of its own, and a target must not cause any number of
   * them.
   */
  get #hasRoom(): boolean {
    return this.#followed.size < MAX_NAMED_GATEWAYS && this.#options.limits.budget.watchFits;
  }

  #changed(gateway: string, service: V1Service | undefined): void {
    const followed = this.#followed.get(gateway);
    if (followed === undefined) return;
    const decision = this.#decide(gateway, service);
    const text = JSON.stringify(decision ?? null);
    if (text === followed.text) return;
    followed.text = text;
    followed.decision = decision;
    followed.path?.stop();
    const { log, names, trunks, refusal, health, cluster } = this.#options;
    if (decision?.kind === 'refused')
      log.warn({ gateway, cause: decision.message }, 'gateway named by annotation refused');
    followed.path =
      decision?.kind !== 'allowed'
        ? undefined
        : new GatewayPath({
            ...decision.options,
            names,
            trunks,
            refusal,
            health,
            cluster,
            own: true,
            onChange: (worse) => this.#options.onChange(gateway, worse),
          });
    followed.path?.start();
    this.#options.onChange(gateway, true);
  }

  #decide(gateway: string, service: V1Service | undefined): GatewayDecision | undefined {
    const { log, link } = this.#options;
    if (service === undefined) return undefined;
    try {
      const { namespace, name } = parseKey(gateway);
      const facts = gatewayFacts(service, { name, namespace, addresses: [], port: undefined });
      const decision = decideGateway(gateway, facts, link);
      if (decision.kind !== 'allowed') return decision;
      const { addresses: hosts, port, identity, probePort } = decision;
      const probe = link.probe && { ...link.probe, port: probePort ?? link.probe.port };
      return { kind: 'allowed', options: { hosts, port, identity, probe } };
    } catch (error) {
      log.warn({ gateway, cause: messageOf(error) }, 'gateway named by annotation is incomplete');
      return undefined;
    }
  }
}

/** The facts of a gateway that nothing is sent to. @param message why the Link does not allow it */
function unusable(path: GatewayFacts['path'], message?: string): GatewayFacts {
  const refusal = message === undefined ? {} : { refusal: { reason: 'GatewayNotAllowed', message } as const };
  return { identity: '', port: 0, own: true, known: [], alive: [], unknown: [], path, ...refusal };
}

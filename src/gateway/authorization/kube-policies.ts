import type { V1Pod } from '@kubernetes/client-node';
import { notifyAll } from '../../base/isolation.ts';
import type { RateLimits } from '../../policy/rate-limits/rate-limits.ts';
import type { Timer } from '../../base/clock.ts';
import { describeError, messageOf } from '../../api/errors/linkspan-error.ts';
import type { TargetSpec } from '../../discovery/target-spec.ts';
import { keyOf, type KubeObject } from '../../api/kubernetes/resource.ts';
import type { Health } from '../../telemetry/admin.ts';
import { limitsOf } from './policy-rate-limits.ts';
import {
  type AuthorizationPolicy,
  type ExternalWorkload,
  type MeshTlsAuthentication,
  type NetworkAuthentication,
  POLICY_GROUP,
  type HttpLocalRateLimitPolicy,
  type Server,
  type ServerAuthorization,
  WORKLOAD_GROUP,
} from '../../api/linkerd/linkerd-kinds.ts';
import {
  gatewayRules,
  type OwnPod,
  type PolicyFacts,
  type Rule,
  rulesFor,
  foreignDependenciesOf,
} from './policy-rules.ts';
import type { PolicySource } from './policy-source.ts';
import { ForeignEndpoints } from './foreign-endpoints.ts';
import {
  type PolicyClient,
  policyVerdict,
  type PolicySetting,
  type PolicyVerdict,
  UNRESTRICTED,
} from './policy-verdict.ts';
import { InstalledKinds } from '../../kube/informer/installed-kinds.ts';
import { WatchedKind, type WatchParts } from '../../kube/informer/watched-kind.ts';
import {
  externalAddresses,
  podAddresses,
  samePod,
  storedPolicyPod,
  workloadOfExternal,
  workloadOfPod,
} from './workload.ts';

/** How policies are watched, and which of them apply. */
export interface KubePoliciesOptions extends WatchParts {
  /** Current setting; its trust domain follows the gateway's own identity. */
  readonly setting: () => PolicySetting;
  /** Absent: the gateway does not run in a pod, so no Server can select it. */
  readonly own: OwnPod | undefined;
  /**
   * Whether Servers of the targets count, or only those of the gateway itself (as with Linkerd's gateway).
   */
  readonly targets: boolean;
  /**
   * How often the API server is asked which kinds it serves, milliseconds; default 20 s. A removal takes
   * effect when two answers in a row say so.
   */
  readonly lookMs?: number;
}

/**
 * How long changes are gathered before connections that are open are checked again, milliseconds. A Server
 * and its policy that are applied together arrive one after the other, and no connection should be cut
 * between the two. New requests are judged at once, by what is known when they arrive.
 */
const GATHER_MS = 500;
const BY_ADDRESS = 'address';

/**
 * Linkerd's policies of the cluster that the gateway stands in. Watches their kinds where these are
 * installed, notices within a minute when that changes, and refuses every client until the policies are
 * known. While the API server cannot be reached, the last known policies hold.
 */
export function openKubePolicies(options: KubePoliciesOptions): PolicySource {
  return new KubePolicies(options);
}

/** Whether policies apply: not known yet, not installed, or installed. */
type State = 'unknown' | 'off' | 'on';

class KubePolicies implements PolicySource {
  readonly #options: KubePoliciesOptions;
  readonly #servers: WatchedKind<Server>;
  readonly #policies: WatchedKind<AuthorizationPolicy>;
  readonly #serverAuthorizations: WatchedKind<ServerAuthorization>;
  readonly #meshTls: WatchedKind<MeshTlsAuthentication>;
  readonly #networks: WatchedKind<NetworkAuthentication>;
  readonly #rateLimits: WatchedKind<HttpLocalRateLimitPolicy>;
  readonly #externals: WatchedKind<ExternalWorkload>;
  readonly #pods: WatchedKind<V1Pod>;
  readonly #facts: PolicyFacts;
  readonly #listeners = new Set<(namespace: string | undefined) => void>();
  readonly #installed: InstalledKinds;
  /** How often the policies of a namespace have changed, and those that concern all. */
  readonly #versions = new Map<string, number>();
  #version = 0;
  /** Cached rules of targets, with the version of the policies that they were made from. */
  #rules = new WeakMap<TargetSpec, { readonly version: number; readonly rules: readonly Rule[] }>();
  /** Targets whose rules depend on objects in other namespaces. */
  readonly #foreign = new ForeignEndpoints();
  #state: State = 'unknown';
  /** The kinds are installed and were not known at the last check (`#join`). */
  #joining = false;
  /** Namespaces with changes that listeners have not been notified of; undefined = all. */
  readonly #untold = new Set<string | undefined>();
  #telling: Timer | undefined;
  /** Whether it was said once which kinds are installed, and why it is not known now. */
  #asked = false;
  #problem: string | undefined;

  constructor(options: KubePoliciesOptions) {
    this.#options = options;
    this.#servers = this.#kind<Server>(POLICY_GROUP, 'Server', 'servers');
    this.#policies = this.#kind<AuthorizationPolicy>(
      POLICY_GROUP,
      'AuthorizationPolicy',
      'authorizationpolicies',
    );
    this.#serverAuthorizations = this.#kind<ServerAuthorization>(
      POLICY_GROUP,
      'ServerAuthorization',
      'serverauthorizations',
    );
    this.#meshTls = this.#kind<MeshTlsAuthentication>(
      POLICY_GROUP,
      'MeshTLSAuthentication',
      'meshtlsauthentications',
    );
    this.#networks = this.#kind<NetworkAuthentication>(
      POLICY_GROUP,
      'NetworkAuthentication',
      'networkauthentications',
    );
    this.#rateLimits = this.#kind<HttpLocalRateLimitPolicy>(
      POLICY_GROUP,
      'HTTPLocalRateLimitPolicy',
      'httplocalratelimitpolicies',
    );
    this.#externals = this.#kind<ExternalWorkload>(WORKLOAD_GROUP, 'ExternalWorkload', 'externalworkloads', {
      indexes: { [BY_ADDRESS]: externalAddresses },
    });
    this.#pods = this.#kind<V1Pod>('', 'Pod', 'pods', {
      transform: storedPolicyPod,
      indexes: { [BY_ADDRESS]: podAddresses },
    });
    this.#facts = this.#factsOfStores();
    this.#followStores();
    this.#installed = new InstalledKinds({
      ...options,
      kinds: [...this.#scoped(), ...this.#shared()],
      onLook: (problem) => this.#looked(problem),
    });
    this.#installed.start();
  }

  get ready(): Health {
    if (this.#state === 'unknown') {
      const error = this.#kinds().find((kind) => kind.error !== undefined)?.error;
      const problem = error === undefined ? this.#problem : describeError(error);
      return {
        ok: false,
        reason: `policies are not known yet${problem === undefined ? '' : `: ${problem}`}`,
      };
    }
    const broken = this.#kinds().find((kind) => kind.error !== undefined);
    if (broken?.error === undefined) return { ok: true, reason: '' };
    return { ok: true, reason: `${broken.plural} as last known: ${messageOf(broken.error)}` };
  }

  version(namespace: string): number {
    return this.#version + (this.#versions.get(namespace) ?? 0);
  }

  verdict(spec: TargetSpec, namespace: string, client: PolicyClient): PolicyVerdict {
    if (this.#state === 'off') return UNRESTRICTED;
    if (this.#state === 'unknown')
      return { allowed: false, policy: '', reason: 'the policies of this cluster are not known yet' };
    return policyVerdict(this.#facts, this.#rulesOf(spec, namespace), client, this.#options.setting());
  }

  limits(spec: TargetSpec, namespace: string): readonly RateLimits[] {
    if (this.#state !== 'on' || this.#rateLimits.store.size === 0) return [];
    return limitsOf(this.#facts, this.#rulesOf(spec, namespace), this.#options.setting());
  }

  subscribe(listener: (namespace: string | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#telling?.cancel();
    await this.#installed.stop();
    await this.#pods.stop();
  }

  #rulesOf(spec: TargetSpec, namespace: string): readonly Rule[] {
    const version = this.version(namespace);
    const known = this.#rules.get(spec);
    if (known?.version === version) return known.rules;
    const { own, targets } = this.#options;
    const rules = [
      ...(own === undefined ? [] : gatewayRules(this.#facts, own)),
      ...(targets ? rulesFor(this.#facts, { namespace, endpoints: spec.endpoints }) : []),
    ];
    this.#rules.set(spec, { version, rules });
    if (targets)
      this.#foreign.record(
        namespace,
        foreignDependenciesOf(this.#facts, { namespace, endpoints: spec.endpoints }),
      );
    return rules;
  }

  /** Kinds whose objects concern their own namespace only. */
  #scoped(): WatchedKind<KubeObject>[] {
    return [
      this.#servers,
      this.#policies,
      this.#serverAuthorizations,
      this.#rateLimits,
      this.#externals,
    ] as unknown as WatchedKind<KubeObject>[];
  }

  /** Kinds that policies of any namespace may refer to. */
  #shared(): WatchedKind<KubeObject>[] {
    return [this.#meshTls, this.#networks] as unknown as WatchedKind<KubeObject>[];
  }

  #kinds(): WatchedKind<KubeObject>[] {
    return [...this.#scoped(), ...this.#shared(), this.#pods as unknown as WatchedKind<KubeObject>];
  }

  #kind<T extends KubeObject>(
    group: string,
    kind: string,
    plural: string,
    options: {
      transform?: (object: T) => T | undefined;
      indexes?: Readonly<Record<string, (object: T) => string[]>>;
    } = {},
  ): WatchedKind<T> {
    const resource = { group, kind, plural, namespaced: true };
    return new WatchedKind<T>(this.#options, resource, { ...options, onSynced: () => this.#settle() });
  }

  #factsOfStores(): PolicyFacts {
    return {
      servers: (namespace) => this.#servers.in(namespace),
      authorizationPolicies: (namespace) => this.#policies.in(namespace),
      serverAuthorizations: (namespace) => this.#serverAuthorizations.in(namespace),
      rateLimits: (namespace) => this.#rateLimits.in(namespace),
      meshTlsAuthentication: (namespace, name) => this.#meshTls.store.get(keyOf({ namespace, name })),
      networkAuthentication: (namespace, name) => this.#networks.store.get(keyOf({ namespace, name })),
      workloadsAt: (address) => [
        ...this.#pods.store.byIndex(BY_ADDRESS, address).map(workloadOfPod),
        ...this.#externals.store.byIndex(BY_ADDRESS, address).map(workloadOfExternal),
      ],
      pod: (namespace, name) => {
        const pod = this.#pods.store.get(keyOf({ namespace, name }));
        return pod === undefined ? undefined : workloadOfPod(pod);
      },
    };
  }

  #followStores(): void {
    for (const kind of this.#scoped())
      kind.store.subscribe('policies: rules of a namespace', ({ object }) =>
        this.#changed(object.metadata?.namespace),
      );
    for (const kind of this.#shared())
      kind.store.subscribe('policies: rules of all', () => this.#changed(undefined));
    this.#pods.store.subscribe('policies: pods', ({ object, previous, type }) => {
      if (type === 'updated' && previous !== undefined && samePod(object, previous)) return;
      this.#changed(object.metadata?.namespace);
      for (const address of podAddresses(object)) this.#arrived(address);
    });
    this.#externals.store.subscribe('policies: external workloads', ({ object }) => {
      for (const address of externalAddresses(object)) this.#arrived(address);
    });
  }

  /**
   * A pod or external workload has appeared at, or left, an address; notifies the namespaces whose targets
   * have that address.
   */
  #arrived(address: string): void {
    for (const namespace of this.#foreign.waitingFor(address)) this.#bump(namespace);
  }

  /** Policies or pods of a namespace have changed, or (undefined) what policies of all may refer to. */
  #changed(namespace: string | undefined): void {
    this.#bump(namespace);
    if (namespace === undefined) return;
    for (const user of this.#foreign.usersOf(namespace)) this.#bump(user);
  }

  #bump(namespace: string | undefined): void {
    // The gateway's own rules apply to every target.
    const all = namespace === undefined || namespace === this.#options.own?.namespace;
    if (all) this.#version++;
    else this.#versions.set(namespace, (this.#versions.get(namespace) ?? 0) + 1);
    if (this.#state === 'on') this.#tellSoon(all ? undefined : namespace);
  }

  #tellSoon(namespace: string | undefined): void {
    const { clock } = this.#options;
    this.#untold.add(namespace);
    this.#telling ??= clock.after(
      GATHER_MS,
      () => {
        this.#telling = undefined;
        const all = this.#untold.has(undefined);
        const concerned = all ? [undefined] : [...this.#untold];
        this.#untold.clear();
        for (const one of concerned) notifyAll('listeners of policies', this.#listeners, one);
      },
      { unref: true },
    );
  }

  /** Policies apply once all of them are known: a part of them would allow or refuse the wrong clients. */
  #settle(): void {
    // Kinds of which nobody has said yet whether they are installed look like those that are not.
    if (!this.#asked) return;
    if (this.#state === 'on' || !this.#kinds().every((kind) => kind.synced || this.#spared(kind))) return;
    this.#enter(this.#servers.watched ? 'on' : 'off');
  }

  /**
   * Whether a kind may be missing: rate limits that cannot be read do not refuse every client, because who is
   * allowed is known without them. `ready` has a reason then.
   */
  #spared(kind: WatchedKind<KubeObject>): boolean {
    return kind.plural === this.#rateLimits.plural && kind.error !== undefined;
  }

  /**
   * Kinds that are installed while traffic flows have until the next check to be listed; after that policies
   * count as unknown, as at the start, and every client is refused.
   */
  #join(): void {
    this.#settle();
    if (this.#state !== 'off') return;
    if (this.#joining) this.#enter('unknown');
    else this.#joining = true;
  }

  #enter(state: State): void {
    this.#joining = false;
    if (this.#state === state) return;
    const { log } = this.#options;
    if (state === 'on') log.info("Linkerd's policies hold here");
    else if (state === 'unknown')
      log.error("Linkerd's policies are installed and not known, all are refused");
    else if (this.#state === 'on') log.warn("Linkerd's policies are not installed any more, none holds");
    this.#state = state;
    this.#version++;
    this.#tellSoon(undefined);
  }

  /** It was asked which kinds are installed. */
  async #looked(problem: unknown): Promise<void> {
    this.#problem = problem === undefined ? undefined : describeError(problem);
    if (problem !== undefined) return;
    // Pods matter only where Servers select them.
    if (this.#servers.watched) await this.#pods.installed('v1');
    else await this.#pods.remove();
    this.#asked = true;
    if (this.#servers.watched) this.#join();
    else this.#enter('off');
  }
}

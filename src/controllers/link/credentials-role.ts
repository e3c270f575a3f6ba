import {
  CREDENTIALS_SELECTOR,
  isCredentials,
  tokenTtlText,
} from '../../api/credentials/credentials-secret.ts';
import type { V1PolicyRule, V1Role, V1Secret } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../api/errors/linkspan-error.ts';
import { SIGNER_DEPLOYMENT } from '../../api/names.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { keepFollowing } from '../../kube/informer/follow.ts';
import { Reflector } from '../../kube/informer/reflector.ts';
import { keyOf, roles, secrets, type KubeObject } from '../../api/kubernetes/resource.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import { WorkQueue } from '../../kube/queue/work-queue.ts';
import type { Health } from '../../telemetry/admin.ts';
import type { Logger } from '../../telemetry/log.ts';
import { links, type LinkObject } from '../../api/link/link-schema.ts';

/**
 * The fieldManager of the Role's rules. The chart makes the Role without rules, so that an upgrade leaves
 * ours.
 */
const GRANTS_MANAGER = SIGNER_DEPLOYMENT;
const BACKOFF = { minMs: 500, maxMs: 10_000 };

/**
 * What the controller may do with Secrets: read those that a Link names, and change those whose token it is
 * to renew, each by name. A Secret counts only if it is of the type for this, so that nobody can get at the
 * issuer's key or another token by naming it in a Link. Pure; sorted, so that the same facts give the same
 * rules.
 * @param credentials Secrets of type `mirror.linkerd.io/remote-kubeconfig`; their data is not used
 */
export function credentialsRules(
  linkObjects: readonly LinkObject[],
  credentials: readonly V1Secret[],
): V1PolicyRule[] {
  const named = new Set(linkObjects.flatMap(({ spec }) => spec?.clusterCredentialsSecret || []));
  const used = credentials.filter(
    (secret) =>
      isCredentials(secret) && secret.metadata?.name !== undefined && named.has(secret.metadata.name),
  );
  const rule = (found: readonly V1Secret[], verbs: string[]): V1PolicyRule[] => {
    const resourceNames = found.map(({ metadata }) => metadata?.name ?? '').toSorted();
    return found.length === 0 ? [] : [{ apiGroups: [''], resources: ['secrets'], resourceNames, verbs }];
  };
  const renewed = used.filter((secret) => tokenTtlText(secret) !== undefined);
  return [...rule(used, ['get', 'list', 'watch']), ...rule(renewed, ['patch'])];
}

/** The Role, and what it is written with. */
export interface CredentialsRoleOptions {
  readonly client: KubeClient;
  /** Of the Links, their Secrets and the Role. */
  readonly namespace: string;
  /** Name of the Role, which has to exist. */
  readonly role: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * Keeps the controller's rights on Secrets at what the Links need. RBAC grants rights by name, and the chart
 * cannot know the names in Links that come later. It runs in the signer, which takes nothing from other
 * clusters. Any number of replicas may run: they write the same.
 */
export class CredentialsRole {
  readonly #options: CredentialsRoleOptions;
  readonly #links = new IndexedStore<LinkObject>();
  readonly #secrets = new IndexedStore<V1Secret>();
  readonly #reflectors: readonly Reflector<KubeObject>[];
  readonly #queue: WorkQueue;
  readonly #stop = new AbortController();
  readonly #key: string;
  /** The Role's rules as they are; undefined: they have not been read yet. */
  #seen: { readonly rules: readonly V1PolicyRule[] } | undefined;
  #error: Error | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: CredentialsRoleOptions) {
    this.#options = options;
    const { client, namespace, role, clock, random, log } = options;
    this.#key = keyOf({ namespace, name: role });
    const shared = { client, namespace, clock, random, log };
    this.#reflectors = [
      new Reflector({ ...shared, resource: links, store: this.#links }),
      new Reflector({
        ...shared,
        resource: secrets,
        store: this.#secrets,
        fieldSelector: CREDENTIALS_SELECTOR,
        transform: ({ type, metadata }) => ({
          ...(type === undefined ? {} : { type }),
          ...(metadata === undefined ? {} : { metadata }),
        }),
      }) as unknown as Reflector<KubeObject>,
    ];
    this.#queue = new WorkQueue({
      handler: (_, signal) => this.#write(signal),
      concurrency: 1,
      backoff: BACKOFF,
      clock,
      random,
      log,
      onError: (key, error) => {
        this.#error = error as Error;
        log.warn({ role: key, err: error }, 'rights on credentials not written, trying again');
      },
    });
    for (const store of [this.#links, this.#secrets])
      store.subscribe('signer: Role of the credentials', () => this.#queue.add(this.#key));
  }

  /** Whether the Role is as it has to be. */
  get ready(): Health {
    const waiting = this.#reflectors.find(({ synced }) => !synced);
    if (waiting !== undefined)
      return { ok: false, reason: `waiting for ${waiting.resource.plural}: ${waiting.state}` };
    if (this.#seen !== undefined && isDeepStrictEqual(this.#seen.rules, this.#wanted()))
      return { ok: true, reason: '' };
    const why = this.#error === undefined ? 'writing' : describeError(this.#error);
    return { ok: false, reason: `Role ${this.#key}: ${why}` };
  }

  start(): void {
    for (const reflector of this.#reflectors) {
      reflector.start();
      // A rejection means that it was stopped first: there is nothing to write.
      reflector.whenSynced(this.#stop.signal).then(
        () => this.#queue.add(this.#key),
        () => undefined,
      );
    }
    this.#running = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    await this.#running;
    await Promise.all([this.#queue.stop(), ...this.#reflectors.map((one) => one.stop())]);
  }

  #wanted(): V1PolicyRule[] {
    return credentialsRules(this.#links.list(), this.#secrets.list());
  }

  #follow(): Promise<void> {
    const { client, namespace, role: name, clock, random, log } = this.#options;
    const { signal } = this.#stop;
    return keepFollowing(
      { client, resource: roles, ref: { namespace, name }, clock, random, backoff: BACKOFF, signal },
      {
        onSeen: (found) => {
          this.#seen = { rules: found?.rules ?? [] };
          this.#queue.add(this.#key);
        },
        onFailure: (error) => {
          this.#error = error as Error;
          log.warn({ err: error, role: this.#key }, 'watch failed, trying again');
        },
      },
    );
  }

  async #write(signal: AbortSignal): Promise<void> {
    // Rights for Links that are not known yet must not be taken away.
    if (this.#seen === undefined || this.#reflectors.some(({ synced }) => !synced)) return;
    const rules = this.#wanted();
    if (isDeepStrictEqual(this.#seen.rules, rules)) return;
    const { client, namespace, role: name, log } = this.#options;
    const body: V1Role = {
      apiVersion: `${roles.group}/${roles.version}`,
      kind: roles.kind,
      metadata: { namespace, name },
      rules,
    };
    const how = { type: 'apply', force: true, fieldManager: GRANTS_MANAGER, signal } as const;
    await client.patch(roles, { namespace, name }, body, how);
    this.#seen = { rules };
    this.#error = undefined;
    log.info({ role: this.#key, secrets: rules[0]?.resourceNames ?? [] }, 'rights on credentials written');
  }
}

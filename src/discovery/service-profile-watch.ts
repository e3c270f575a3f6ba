import { sleep } from '../base/clock.ts';
import { PROFILE_GROUP } from '../api/linkerd/linkerd-kinds.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import { servedKinds } from '../kube/client/served-kinds.ts';
import { WatchedKind, type WatchParts } from '../kube/informer/watched-kind.ts';
import type { ReadRequests } from '../policy/requests/request-annotations.ts';
import { readServiceProfile, type ServiceProfile } from '../policy/requests/service-profile.ts';

const PLURAL = 'serviceprofiles';
/**
 * How often the API server is asked whether the kind is installed, milliseconds. A removal takes effect when
 * two answers in a row say so.
 */
const LOOK_MS = 20_000;

export interface ServiceProfilesOptions extends WatchParts {
  /** Such as `cluster.local`: a profile has the name of its Service's host. */
  readonly clusterDomain: string;
  /** Default 20 s. */
  readonly lookMs?: number | undefined;
}

/**
 * Linkerd's ServiceProfiles, as long as their kind is installed: noticed within 20 s, without a restart. A
 * profile is that of the Service in its own namespace whose DNS name it has. Retries and timeouts are not
 * needed to serve, so readiness does not wait for them, and the last known profiles hold while the API server
 * cannot be reached.
 */
export class ServiceProfiles {
  readonly #options: ServiceProfilesOptions;
  readonly #kind: WatchedKind<ServiceProfile>;
  readonly #stop = new AbortController();
  /** Parsed profiles, cached for as long as the object is unchanged. */
  readonly #read = new WeakMap<ServiceProfile, ReadRequests>();
  #looking: Promise<void> = Promise.resolve();
  #complained = false;

  /**
   * @param onChange called with the key (`namespace/name`) of each Service whose profile was added, changed
   * or removed
   */
  constructor(options: ServiceProfilesOptions, onChange: (service: string) => void) {
    this.#options = options;
    this.#kind = new WatchedKind<ServiceProfile>(
      options,
      { group: PROFILE_GROUP, kind: 'ServiceProfile', plural: PLURAL, namespaced: true },
      { onSynced: () => undefined },
    );
    this.#kind.store.subscribe('targets: ServiceProfiles', ({ object: { metadata } }) => {
      const service = this.#serviceOf(metadata?.namespace ?? '', metadata?.name ?? '');
      if (service !== undefined) onChange(service);
    });
  }

  start(): void {
    this.#looking = this.#look();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    await this.#looking;
    await this.#kind.stop();
  }

  /** What the profile of a Service says; undefined where there is none. */
  of(service: string): ReadRequests | undefined {
    const [namespace = '', name = ''] = service.split('/');
    const host = `${name}.${namespace}.svc.${this.#options.clusterDomain}`;
    const profile = this.#kind.store.get(`${namespace}/${host}`);
    if (profile === undefined) return undefined;
    let read = this.#read.get(profile);
    if (read === undefined) {
      const { requests, problems } = readServiceProfile(profile.spec);
      const named = problems.map((problem) => `ServiceProfile ${host}: ${problem}`);
      read = { problems: named, ...(requests === undefined ? {} : { requests }) };
      this.#read.set(profile, read);
    }
    return read;
  }

  #serviceOf(namespace: string, profile: string): string | undefined {
    const end = `.${namespace}.svc.${this.#options.clusterDomain}`;
    return profile.endsWith(end) ? `${namespace}/${profile.slice(0, -end.length)}` : undefined;
  }

  async #look(): Promise<void> {
    const { client, clock, log, lookMs = LOOK_MS } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const version = (await servedKinds(client, PROFILE_GROUP, signal)).get(PLURAL);
        if (version === undefined) await this.#kind.missing();
        else await this.#kind.installed(version);
        this.#complained = false;
      } catch (error) {
        if (signal.aborted) return;
        if (!this.#complained)
          log.warn({ reason: messageOf(error) }, 'whether ServiceProfiles are installed is not known');
        this.#complained = true;
      }
      await sleep(clock, lookMs, signal).catch(() => undefined);
    }
  }
}

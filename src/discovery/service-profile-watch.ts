import { PROFILE_GROUP } from '../api/linkerd/linkerd-kinds.ts';
import { InstalledKinds } from '../kube/informer/installed-kinds.ts';
import { WatchedKind, type WatchParts } from '../kube/informer/watched-kind.ts';
import type { ReadRequests } from '../policy/requests/request-annotations.ts';
import type { ProfileRouting } from '../policy/routing/service-routing.ts';
import { readDstOverrides } from '../api/routing/dst-overrides.ts';
import { NotValid } from '../api/routing/read-value.ts';
import { readServiceProfile, type ServiceProfile } from '../policy/requests/service-profile.ts';

const PLURAL = 'serviceprofiles';

export interface ServiceProfilesOptions extends WatchParts {
  /** Such as `cluster.local`: a profile has the name of its Service's host. */
  readonly clusterDomain: string;
  /** As `InstalledKindsOptions.lookMs`. */
  readonly lookMs?: number | undefined;
  /** Called when `settled` or `complete` may have changed; default: nobody is. */
  onState?(): void;
}

/** Where the requests of a Service go, as its profile says. */
export interface ProfileWord {
  readonly routing?: ProfileRouting;
  /** One line each. */
  readonly problems: readonly string[];
}

interface ReadProfile {
  readonly requests: ReadRequests;
  readonly routing: ProfileWord;
}

/** Nothing is said. */
export const NO_WORD: ProfileWord = { problems: [] };

/**
 * Linkerd's ServiceProfiles, as long as their kind is installed: noticed within 20 s, without a restart. A
 * profile is that of the Service in its own namespace whose DNS name it has. Retries and timeouts are not
 * needed to serve, so readiness does not wait for them, and the last known profiles hold while the API server
 * cannot be reached.
 */
export class ServiceProfiles {
  readonly #options: ServiceProfilesOptions;
  readonly #kind: WatchedKind<ServiceProfile>;
  readonly #installed: InstalledKinds;
  /** Parsed profiles, cached for as long as the object is unchanged. */
  readonly #read = new WeakMap<ServiceProfile, ReadProfile>();

  /**
   * @param onChange called with the key (`namespace/name`) of each Service whose profile was added, changed
   * or removed
   */
  constructor(options: ServiceProfilesOptions, onChange: (service: string) => void) {
    this.#options = options;
    this.#kind = new WatchedKind<ServiceProfile>(
      options,
      { group: PROFILE_GROUP, kind: 'ServiceProfile', plural: PLURAL, namespaced: true },
      { onSynced: () => options.onState?.() },
    );
    this.#installed = new InstalledKinds({
      ...options,
      kinds: [this.#kind],
      onLook: () => options.onState?.(),
    });
    this.#kind.store.subscribe('targets: ServiceProfiles', ({ object: { metadata } }) => {
      const service = this.#serviceOf(metadata?.namespace ?? '', metadata?.name ?? '');
      if (service !== undefined) onChange(service);
    });
  }

  start(): void {
    this.#installed.start();
  }

  /** As `InstalledKinds.settled`. */
  get settled(): boolean {
    return this.#installed.settled;
  }

  /** As `InstalledKinds.unread`. */
  get unread(): string[] {
    return this.#installed.unread;
  }

  /** Whether all are known, and none only as it was before an error. */
  get complete(): boolean {
    return this.#installed.answered && this.#kind.synced && this.#kind.error === undefined;
  }

  /** Whether the profile of a Service (key) says, or tries to say, where its requests go. */
  isSubject(service: string): boolean {
    const { routing, problems } = this.routingOf(service);
    return routing !== undefined || problems.length > 0;
  }

  async stop(): Promise<void> {
    await this.#installed.stop();
  }

  /** What the profile of a Service says; undefined where there is none. */
  of(service: string): ReadRequests | undefined {
    return this.#profileOf(service)?.requests;
  }

  /** What it says of where requests go, and what is wrong with that. */
  routingOf(service: string): ProfileWord {
    return this.#profileOf(service)?.routing ?? NO_WORD;
  }

  #profileOf(service: string): ReadProfile | undefined {
    const [namespace = '', name = ''] = service.split('/');
    const host = `${name}.${namespace}.svc.${this.#options.clusterDomain}`;
    const profile = this.#kind.store.get(`${namespace}/${host}`);
    if (profile === undefined) return undefined;
    let read = this.#read.get(profile);
    if (read === undefined) {
      const { requests, problems } = readServiceProfile(profile.spec);
      const named = problems.map((problem) => `ServiceProfile ${host}: ${problem}`);
      read = {
        requests: { problems: named, ...(requests === undefined ? {} : { requests }) },
        routing: readRouting(profile, host, requests?.routes !== undefined, this.#options.clusterDomain),
      };
      this.#read.set(profile, read);
    }
    return read;
  }

  #serviceOf(namespace: string, profile: string): string | undefined {
    const end = `.${namespace}.svc.${this.#options.clusterDomain}`;
    return profile.endsWith(end) ? `${namespace}/${profile.slice(0, -end.length)}` : undefined;
  }
}

/** Overrides that are wrong are left out as a whole: a part of a split is another split. */
function readRouting(
  { spec }: ServiceProfile,
  host: string,
  hasRoutes: boolean,
  clusterDomain: string,
): ProfileWord {
  const { dstOverrides } = (spec ?? {}) as { readonly dstOverrides?: unknown };
  try {
    const overrides = readDstOverrides(dstOverrides, clusterDomain);
    return overrides.length === 0 && !hasRoutes
      ? NO_WORD
      : { routing: { overrides, hasRoutes }, problems: [] };
  } catch (error) {
    if (!(error instanceof NotValid)) throw error;
    const problem = `ServiceProfile ${host}: spec.dstOverrides is not valid (${error.message}), it is left out`;
    return { problems: [problem], ...(hasRoutes ? { routing: { overrides: [], hasRoutes } } : {}) };
  }
}

import type { KubeConfig } from '@kubernetes/client-node';
import { readFile } from 'node:fs/promises';
import { systemClock, type Clock } from '../../base/clock.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';

/** Our credentials for an API server. */
export interface Auth {
  /**
   * The Authorization header of the next request; undefined when a client certificate or nothing says who we
   * are.
   */
  authorization(): Promise<string | undefined>;
  /**
   * The client certificate of the next connection, where it is not the kubeconfig's own; undefined = none.
   */
  certificate?(): Promise<ClientCertificate | undefined>;
  /**
   * The server has answered 401 to a request with this Authorization header. Returns whether the next one
   * will be another, so that the request is worth sending once more; no more often than every 10 s, because a
   * plugin may ask a person. Absent where credentials cannot be renewed.
   */
  renew?(refused: string | undefined): boolean;
}

/** Shortest time between two renewals because of a refusal, milliseconds. */
const RENEW_PAUSE_MS = 10_000;

/**
 * What `Auth.renew` does: forgets the credentials that were refused, unless others have come meanwhile. Made
 * of what forgets them; called with the header that was refused, and the one that is kept (undefined while
 * there is none).
 */
export function renewal(
  clock: Pick<Clock, 'monotonic'>,
  forget: () => void,
): (refused: string | undefined, current: string | undefined) => boolean {
  let last = Number.NEGATIVE_INFINITY;
  return (refused, current) => {
    if (current !== refused) return true;
    if (clock.monotonic() - last < RENEW_PAUSE_MS) return false;
    last = clock.monotonic();
    forget();
    return true;
  };
}

/** PEM. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

/** A plugin may ask a person to log in; one that takes longer hangs. */
const PLUGIN_MS = 300_000;

/** How long a token file is taken as read; kubelet renews projected tokens well before they expire. */
const TOKEN_FILE_TTL_MS = 60_000;

export function staticAuth(header: string | undefined): Auth {
  return { authorization: () => Promise.resolve(header) };
}

/**
 * A bearer token that can be replaced while clients go on using it: requests that begin afterwards carry the
 * new one.
 */
export class BearerAuth implements Auth {
  #token: string;

  constructor(token: string) {
    this.#token = token;
  }

  replace(token: string): void {
    this.#token = token;
  }

  authorization(): Promise<string> {
    return Promise.resolve(`Bearer ${this.#token}`);
  }
}

/**
 * A bearer token from a file that somebody renews (a pod's service account). The last token that could be
 * read is kept.
 */
export function tokenFileAuth(file: string): Auth {
  let header: string | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  const forget = () => (readAt = Number.NEGATIVE_INFINITY);
  const renew = renewal(systemClock, forget);
  const current = () => (readAt === Number.NEGATIVE_INFINITY ? undefined : header);
  return {
    renew: (refused) => renew(refused, current()),
    async authorization() {
      if (performance.now() - readAt < TOKEN_FILE_TTL_MS) return header;
      try {
        header = `Bearer ${(await readFile(file, 'utf8')).trim()}`;
        readAt = performance.now();
      } catch (error) {
        if (header === undefined) {
          throw new LinkspanError(
            'KUBECONFIG_UNREADABLE',
            `cannot read the token ${file}: ${messageOf(error)}`,
            { cause: error },
          );
        }
      }
      return header;
    },
  };
}

/**
 * Auth providers (OIDC and the like), by @kubernetes/client-node, loaded when first needed. Renewal is the
 * library's.
 */
export function pluginAuth(kubeconfig: string, context: string, source: string): Auth {
  let loaded: Promise<KubeConfig> | undefined;
  const load = async (): Promise<KubeConfig> => {
    const library = await import('@kubernetes/client-node');
    const config = new library.KubeConfig();
    config.loadFromString(kubeconfig);
    config.setCurrentContext(context);
    return config;
  };
  return {
    async authorization() {
      loaded ??= load();
      try {
        const options: { headers?: Record<string, string> } = { headers: {} };
        await inTime((await loaded).applyToHTTPSOptions(options));
        return options.headers?.['Authorization'];
      } catch (error) {
        throw new LinkspanError(
          'KUBECONFIG_INVALID',
          `${source}: the authentication plugin failed: ${messageOf(error)}`,
          { cause: error },
        );
      }
    },
  };
}

/** The library waits for a plugin for ever. */
async function inTime(work: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = systemClock.after(PLUGIN_MS, () =>
    late.reject(new Error(`it has not ended within ${PLUGIN_MS / 1000} s`)),
  );
  try {
    await Promise.race([work, late.promise]);
  } finally {
    timer.cancel();
  }
}

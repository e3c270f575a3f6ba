import { createHash } from 'node:crypto';
import type { V1UserInfo } from '@kubernetes/client-node';
import { TAP_ACCOUNT, TAP_AUDIENCE, TAP_RIGHT } from '../api/answers/tap-events.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import { subjectAccessReviews, tokenReviews } from '../api/kubernetes/resource.ts';
import type { Clock } from '../base/clock.ts';
import { dateClaim, tokenClaims } from '../base/token-claims.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { BucketPace, TokenBucket } from '../proxy/filters/token-bucket.ts';

/** Whether somebody may look. */
export type TapVerdict =
  | {
      readonly ok: true;
      /** Who the token is of. */
      readonly account: string;
      /** Until when that holds; then it is to be asked again. Monotonic milliseconds. */
      readonly until: number;
    }
  | { readonly ok: false; readonly status: 401 | 403 | 429 | 503; readonly message: string };

/** How long an answer of the API server holds, milliseconds; asking anew may take `ANSWER_MS` more. */
const VERDICT_MS = 20_000;
/** How long it holds at least, where the token has expired by our clock, which may be wrong; milliseconds. */
const EXPIRED_MS = 5000;
const ANSWER_MS = 8000;
/** Answers that are kept. */
const MAX_KEPT = 256;
/** Longest token that is shown to the API server, characters. */
const MAX_TOKEN = 8192;
/** How often strangers may have the API server asked; whoever looks already is not counted. */
const ASKED = new BucketPace({ perSecond: 2, burst: 20 });

/**
 * Who may look at whose traffic, as the API server says: a token for the audience `tap.linkspan.dev`, whose
 * account may `get taps.linkspan.dev` in the namespace of the target (TokenReview, SubjectAccessReview).
 * Answers are kept for `VERDICT_MS`.
 */
export class TapAccess {
  readonly #client: Pick<KubeClient, 'create'>;
  readonly #clock: Clock;
  readonly #kept = new Map<string, { readonly until: number; readonly verdict: Promise<TapVerdict> }>();
  readonly #asked = new TokenBucket(ASKED);

  constructor({ client, clock }: { readonly client: Pick<KubeClient, 'create'>; readonly clock: Clock }) {
    this.#client = client;
    this.#clock = clock;
  }

  /**
   * Whether the bearer of a token may look at the targets of a namespace; undefined: of all.
   * @param known whether it was let in before, and is asked about again
   */
  async verdict(token: string, namespace: string | undefined, known = false): Promise<TapVerdict> {
    const malformed = malformedToken(token);
    if (malformed !== undefined) return refused(401, malformed);
    const key = `${createHash('sha256').update(token).digest('base64')} ${namespace ?? '*'}`;
    const now = this.#clock.monotonic();
    const kept = this.#kept.get(key);
    if (kept !== undefined && now < kept.until) return kept.verdict;
    if (!known) {
      if (this.#asked.wait(now) > 0) return refused(429, 'too many ask whether they may look; try again');
      this.#asked.take(now);
    }
    const until = now + this.#heldMs(token);
    const verdict = this.#ask({ token, namespace, until });
    this.#keep(key, { until, verdict });
    // What is not known is asked again at once.
    if (await verdict.then((one) => !one.ok && one.status === 503)) this.#kept.delete(key);
    return verdict;
  }

  /** No longer than the token itself says. */
  #heldMs(token: string): number {
    const expiresAt = dateClaim(tokenClaims(token)['exp']) ?? Infinity;
    return Math.max(EXPIRED_MS, Math.min(VERDICT_MS, expiresAt - this.#clock.now()));
  }

  #keep(key: string, entry: { readonly until: number; readonly verdict: Promise<TapVerdict> }): void {
    this.#kept.delete(key);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(key, entry);
  }

  async #ask({ token, ...asked }: AskedRight & { readonly token: string }): Promise<TapVerdict> {
    const signal = AbortSignal.timeout(ANSWER_MS);
    try {
      const review = await this.#client.create(
        tokenReviews,
        {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenReview',
          spec: { token, audiences: [TAP_AUDIENCE] },
        },
        { signal },
      );
      const { authenticated, audiences, user } = review.status ?? {};
      // An API server that knows nothing of audiences would take any token.
      if (authenticated !== true || user === undefined || audiences?.includes(TAP_AUDIENCE) !== true)
        return refused(401, `the token is not valid, or not for the audience ${TAP_AUDIENCE}`);
      return await this.#mayGet(user, asked, signal);
    } catch (error) {
      return refused(503, `the API server does not say whether you may look: ${messageOf(error)}`);
    }
  }

  async #mayGet(
    { username = '', uid, groups, extra }: V1UserInfo,
    { namespace, until }: AskedRight,
    signal: AbortSignal,
  ): Promise<TapVerdict> {
    const review = await this.#client.create(
      subjectAccessReviews,
      {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: {
          user: username,
          ...(uid === undefined ? {} : { uid }),
          ...(groups === undefined ? {} : { groups }),
          ...(extra === undefined ? {} : { extra }),
          resourceAttributes: { ...TAP_RIGHT, ...(namespace === undefined ? {} : { namespace }) },
        },
      },
      { signal },
    );
    if (review.status?.allowed !== true) return refused(403, missingBinding(username, namespace));
    return { ok: true, account: username, until };
  }
}

/** What is asked of the API server, and until when its answer will hold. */
interface AskedRight {
  readonly namespace: string | undefined;
  readonly until: number;
}

function refused(status: 401 | 403 | 429 | 503, message: string): TapVerdict {
  return { ok: false, status, message };
}

/** Why a text is no token for this; what is one is for the API server to say. */
function malformedToken(token: string): string | undefined {
  if (token === '') return 'there is no token';
  const { aud } = tokenClaims(token.slice(0, MAX_TOKEN));
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  if (token.length <= MAX_TOKEN && audiences.includes(TAP_AUDIENCE)) return undefined;
  return `the token is not for the audience ${TAP_AUDIENCE}`;
}

/** What is missing, and the command that gives it. */
function missingBinding(user: string, namespace: string | undefined): string {
  const { verb, resource, group } = TAP_RIGHT;
  const where = namespace === undefined ? 'all namespaces' : `namespace ${namespace}`;
  const [, , account, name] = user.split(':');
  const subject = name === undefined ? `--user=${user}` : `--serviceaccount=${account}:${name}`;
  const kind = namespace === undefined ? 'clusterrolebinding' : `-n ${namespace} rolebinding`;
  return (
    `${user} may not ${verb} ${resource}.${group} in ${where}; there has to be a binding: ` +
    `kubectl create ${kind} ${TAP_ACCOUNT} --clusterrole=${TAP_ACCOUNT} ${subject}`
  );
}

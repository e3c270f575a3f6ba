import type { ErrorCode } from '../../api/errors/error-catalogue.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';

/**
 * One cause in a Status: a field that is invalid, or that another manager holds (server-side
 * apply).
 */
export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
}

/** Longest text of a server that goes into messages, conditions and logs. */
const MAX_WORDS = 1024;

/**
 * An API server's refusal: its HTTP status and the reason of its Status object (`NotFound`, `AlreadyExists`,
 * `Expired`, …).
 */
export class KubeApiError extends LinkspanError {
  readonly status: number;
  readonly reason: string;
  /** Milliseconds that the server asks to wait (`Retry-After`). */
  readonly retryAfterMs: number | undefined;
  /** The server's own words. */
  readonly answer: string;
  readonly causes: readonly StatusCause[];

  constructor(
    answer: {
      status: number;
      reason: string;
      message: string;
      retryAfterMs?: number | undefined;
      causes?: readonly StatusCause[];
    },
    what: string,
  ) {
    const reason = answer.reason.slice(0, MAX_WORDS);
    const words = answer.message.slice(0, MAX_WORDS);
    super(codeFor(answer.status), `${what}: ${words}`, { fields: { status: answer.status, reason } });
    this.status = answer.status;
    this.reason = reason;
    this.retryAfterMs = answer.retryAfterMs;
    this.answer = words;
    this.causes = answer.causes ?? [];
  }
}

function codeFor(status: number): ErrorCode {
  if (status === 401) return 'KUBE_UNAUTHORIZED';
  if (status === 403) return 'KUBE_FORBIDDEN';
  if (status === 404) return 'KUBE_NOT_FOUND';
  return status === 409 ? 'KUBE_CONFLICT' : 'KUBE_API_ERROR';
}

const is = (error: unknown, status: number): error is KubeApiError =>
  error instanceof KubeApiError && error.status === status;

export const isNotFound = (error: unknown): boolean => is(error, 404);
/** The result of a request; undefined where the server says that there is no such object (404). */
export async function orUndefined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
export const isForbidden = (error: unknown): error is KubeApiError => is(error, 403);
/** 410: a resourceVersion or continue token is too old; list again. */
export const isGone = (error: unknown): boolean => is(error, 410);
export const isAlreadyExists = (error: unknown): boolean =>
  error instanceof KubeApiError && error.status === 409 && error.reason === 'AlreadyExists';
/** The object is not the one that was seen (resourceVersion or UID). */
export const isConflict = (error: unknown): boolean => is(error, 409) && !isAlreadyExists(error);

/** Reads a Status body. @param body as received; may be anything */
export function statusError(
  status: number,
  body: string,
  what: string,
  retryAfter: string | undefined,
): KubeApiError {
  let reason = '';
  let message = body.slice(0, 300);
  let causes: readonly StatusCause[] = [];
  try {
    const parsed = JSON.parse(body) as {
      kind?: string;
      reason?: unknown;
      message?: unknown;
      details?: { causes?: StatusCause[] };
    };
    if (parsed.kind === 'Status') {
      reason = wordsOf(parsed.reason, '');
      causes = parsed.details?.causes ?? [];
      message = wordsOf(parsed.message, message);
    }
  } catch {
    // Not a Status: a proxy in between, or a body cut short. The text itself is the message.
  }
  const seconds = Number(retryAfter);
  const retryAfterMs = retryAfter !== undefined && seconds >= 0 ? seconds * 1000 : undefined;
  return new KubeApiError(
    { status, reason, message: message.trim() || `HTTP ${status}`, retryAfterMs, causes },
    what,
  );
}

/** The text in a field of a server's answer that should be text. */
export function wordsOf(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}

/**
 * The texts of `Warning` headers: `299 - "text"` (RFC 7234 section 5.5), several in one header or in several.
 */
export function warningsOf(header: string | readonly string[] | undefined): string[] {
  const texts = typeof header === 'string' ? [header] : (header ?? []);
  return texts.flatMap((text) =>
    [...text.matchAll(/\d{3} \S+ "((?:[^"\\]|\\.)*)"/g)].map(([, quoted = '']) =>
      quoted.replaceAll(/\\(.)/g, '$1'),
    ),
  );
}

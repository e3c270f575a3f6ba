import type { ErrorCode } from '../base/error-catalogue.ts';
import { LinkspanError } from '../base/errors.ts';

/** An API server's refusal: its HTTP status and the reason of its Status object (`NotFound`, `AlreadyExists`, `Expired`, …). */
export class KubeApiError extends LinkspanError {
  readonly status: number;
  readonly reason: string;
  /** Milliseconds that the server asks to wait (`Retry-After`). */
  readonly retryAfterMs: number | undefined;

  constructor(
    answer: { status: number; reason: string; message: string; retryAfterMs?: number | undefined },
    what: string,
  ) {
    super(codeFor(answer.status), `${what}: ${answer.message}`, {
      fields: { status: answer.status, reason: answer.reason },
    });
    this.status = answer.status;
    this.reason = answer.reason;
    this.retryAfterMs = answer.retryAfterMs;
  }
}

function codeFor(status: number): ErrorCode {
  if (status === 401) return 'KUBE_UNAUTHORIZED';
  if (status === 403) return 'KUBE_FORBIDDEN';
  if (status === 404) return 'KUBE_NOT_FOUND';
  return status === 409 ? 'KUBE_CONFLICT' : 'KUBE_API_ERROR';
}

const is = (error: unknown, status: number) => error instanceof KubeApiError && error.status === status;

export const isNotFound = (error: unknown): boolean => is(error, 404);
export const isForbidden = (error: unknown): boolean => is(error, 403);
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
  try {
    const parsed = JSON.parse(body) as { kind?: string; reason?: string; message?: string };
    if (parsed.kind === 'Status') {
      reason = parsed.reason ?? '';
      message = parsed.message ?? message;
    }
  } catch {
    // Not a Status: a proxy in between, or a body cut short. The text itself is the message.
  }
  const seconds = Number(retryAfter);
  const retryAfterMs = retryAfter !== undefined && seconds >= 0 ? seconds * 1000 : undefined;
  return new KubeApiError(
    { status, reason, message: message.trim() || `HTTP ${status}`, retryAfterMs },
    what,
  );
}

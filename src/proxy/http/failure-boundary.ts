import { ProxyFailure } from './failures.ts';

/**
 * The failure boundary of the data path. An exception that nobody foresaw (a mistake of ours, anywhere in
 * what carries a flow) ends the flow in which it was thrown, and nothing else: the peer gets an
 * `internal error` with a text that never changes, the log gets it once with its stack, it is counted once,
 * and no endpoint is blamed for it.
 */
export interface Boundary {
  /**
   * An exception has been caught. A `ProxyFailure` is foreseen and is returned as it is; everything else is
   * counted and logged, once however many boundaries it passes. Never throws.
   * @returns the failure that the flow ends with
   */
  caught(error: unknown): ProxyFailure;
}

/** What peers are told, whatever was thrown. */
const TEXT = 'internal error of the proxy; its log says which';

/** The failure for an exception that nobody foresaw. @param cause for our log; no peer is told of it */
export function internalError(cause: unknown): ProxyFailure {
  return new ProxyFailure('internal error', TEXT, cause);
}

/** No boundary: what is thrown goes on to the caller. For parts that are used without one, as tests do. */
export const NO_BOUNDARY: Boundary = {
  caught(error) {
    throw error;
  },
};

/**
 * Runs work that belongs to no flow, or to many: what it throws is counted and logged, and ends nothing else.
 */
export function contained(boundary: Boundary, work: () => void): void {
  try {
    work();
  } catch (error) {
    boundary.caught(error);
  }
}

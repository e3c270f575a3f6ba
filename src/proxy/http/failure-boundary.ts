import { ProxyFailure } from './failures.ts';

/**
 * The failure boundary of the data path. An exception that nobody foresaw (a mistake of ours, anywhere in
 * what carries a flow) ends the flow in which it came, and nothing else: it is told to its peer as
 * `internal error` with a text that never changes, logged once with its stack, counted once, and no endpoint
 * is blamed for it.
 */
export interface Boundary {
  /**
   * An exception has been caught. What is foreseen (a `ProxyFailure`) is given back as it is; everything else
   * is counted and logged, once however many boundaries it passes. Never throws.
   * @returns what the flow ends with
   */
  caught(error: unknown): ProxyFailure;
}

/** What peers are told, whatever it was. */
const TEXT = 'internal error of the proxy; its log says which';

/** @param cause stays on this side; no peer is told of it */
export function internalError(cause: unknown): ProxyFailure {
  return new ProxyFailure('internal error', TEXT, cause);
}

/** No boundary: what is thrown goes on to the caller. For parts that are used alone, as tests do. */
export const NO_BOUNDARY: Boundary = {
  caught(error) {
    throw error;
  },
};

/** Runs work that belongs to no flow, or to many; what it throws harms nobody else. */
export function contained(boundary: Boundary, work: () => void): void {
  try {
    work();
  } catch (error) {
    boundary.caught(error);
  }
}

import { type AnnotationReader, parseTime } from '../../api/annotation-reader.ts';
import { TIMEOUT_IDLE, TIMEOUT_REQUEST, TIMEOUT_RESPONSE } from '../../api/linkerd/traffic-annotations.ts';

/** Time limits, milliseconds; an absent one does not exist. */
export interface TimeoutRules {
  /** From the request's head to the response's end, all tries together. */
  readonly requestMs?: number;
  /**
   * Of one try, from when the request has been sent (or the response begins, if that is earlier) to the
   * response's end.
   */
  readonly responseMs?: number;
  /** How long no byte may pass in either direction. */
  readonly idleMs?: number;
}

/** All annotations about timeouts. */
export const TIMEOUT_ANNOTATIONS: readonly string[] = [
  TIMEOUT_REQUEST,
  TIMEOUT_RESPONSE,
  TIMEOUT_IDLE,
].flat();

/** What annotations say of timeouts; undefined: nothing that can be followed. */
export function readTimeouts(reader: AnnotationReader): TimeoutRules | undefined {
  const requestMs = reader.read(TIMEOUT_REQUEST, parseTime);
  const responseMs = reader.read(TIMEOUT_RESPONSE, parseTime);
  const idleMs = reader.read(TIMEOUT_IDLE, parseTime);
  if (!requestMs && !responseMs && !idleMs) return undefined;
  return {
    ...(requestMs ? { requestMs } : {}),
    ...(responseMs ? { responseMs } : {}),
    ...(idleMs ? { idleMs } : {}),
  };
}

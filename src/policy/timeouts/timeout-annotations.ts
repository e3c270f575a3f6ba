import { type AnnotationReader, parseTime } from '../../api/annotation-reader.ts';
import { TIMEOUT_IDLE, TIMEOUT_REQUEST, TIMEOUT_RESPONSE } from '../../api/linkerd/traffic-annotations.ts';
import type { TimeoutRules } from './timeout-rules.ts';

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

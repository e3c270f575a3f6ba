import { type AnnotationReader, parseTime } from '../../api/annotation-reader.ts';
import type { TimeoutRules } from './timeout-rules.ts';

/** Linkerd's annotations on a Service (wire protocol 3.4), the first with its older spelling. */
const REQUEST = ['timeout.linkerd.io/request', 'linkerd.io/timeout'] as const;
const RESPONSE = ['timeout.linkerd.io/response'] as const;
const IDLE = ['timeout.linkerd.io/idle'] as const;

/** All of them. */
export const TIMEOUT_ANNOTATIONS: readonly string[] = [REQUEST, RESPONSE, IDLE].flat();

/** What annotations say of timeouts; undefined: nothing that can be followed. */
export function readTimeouts(reader: AnnotationReader): TimeoutRules | undefined {
  const requestMs = reader.read(REQUEST, parseTime);
  const responseMs = reader.read(RESPONSE, parseTime);
  const idleMs = reader.read(IDLE, parseTime);
  if (!requestMs && !responseMs && !idleMs) return undefined;
  return {
    ...(requestMs ? { requestMs } : {}),
    ...(responseMs ? { responseMs } : {}),
    ...(idleMs ? { idleMs } : {}),
  };
}

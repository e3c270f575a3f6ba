import type { TraceContext } from './trace-context.ts';

/** Of version 00. */
const CURRENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
/**
 * Of a later version: what there is in 00 comes first, and more only behind another hyphen (W3C Trace
 * Context, section 3.2.4).
 */
const LATER = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)/;
/** There is never such a version. */
const NO_VERSION = 'ff';
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);
const SAMPLED = 0x01;
/** Flags that we know: sampled, and that the trace's id is random (Trace Context, level 2). */
const KNOWN_FLAGS = 0x03;

/** Reads a W3C `traceparent`; undefined: there is none, or it is malformed. */
export function readTraceparent(value: string | undefined): TraceContext | undefined {
  if (value === undefined || !(CURRENT.test(value) || isLater(value))) return undefined;
  const traceId = value.slice(3, 35);
  const parentId = value.slice(36, 52);
  if (traceId === NO_TRACE || parentId === NO_SPAN) return undefined;
  const flags = Number.parseInt(value.slice(53, 55), 16);
  const sampled = (flags & SAMPLED) !== 0;
  return { form: 'traceparent', traceId, parentId, sampled, debug: false, flags };
}

function isLater(value: string): boolean {
  return LATER.test(value) && !value.startsWith('00') && !value.startsWith(NO_VERSION);
}

/** A `traceparent` of ours: always of version 00, and with no flags that we do not know. */
export function traceparent(traceId: string, spanId: string, flags: number): string {
  const known = ((flags & KNOWN_FLAGS) | SAMPLED).toString(16).padStart(2, '0');
  return `00-${traceId}-${spanId}-${known}`;
}

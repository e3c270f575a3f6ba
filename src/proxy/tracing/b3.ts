import type { TraceContext } from './trace-context.ts';

const TRACE = /^(?:[0-9a-f]{32}|[0-9a-f]{16})$/i;
const SPAN = /^[0-9a-f]{16}$/i;
const ZEROS = /^0+$/;
/** `{trace}-{span}[-{sampling}[-{parent}]]` (openzipkin/b3-propagation). */
const SINGLE = /^([0-9a-f]{32}|[0-9a-f]{16})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?$/i;

/** Reads the one field `b3`; undefined: there is none, or it is malformed. */
export function readB3(value: string | undefined): TraceContext | undefined {
  if (value === undefined) return undefined;
  if (value === '0' || value === '1' || value === 'd') return context('b3', undefined, undefined, value);
  const [whole, traceId = '', parentId = '', sampling] = SINGLE.exec(value) ?? [];
  if (whole === undefined || ZEROS.test(traceId) || ZEROS.test(parentId)) return undefined;
  return context('b3', traceId, parentId, sampling?.toLowerCase());
}

/** Reads the fields `x-b3-…`; undefined: there are none, or they are malformed. @param get by name */
export function readB3Fields(get: (name: string) => string | undefined): TraceContext | undefined {
  const traceId = get('x-b3-traceid');
  const parentId = get('x-b3-spanid');
  const sampling = get('x-b3-flags') === '1' ? 'd' : SAMPLING[get('x-b3-sampled') ?? ''];
  if (traceId === undefined && parentId === undefined)
    return sampling === undefined ? undefined : context('b3 fields', undefined, undefined, sampling);
  if (traceId === undefined || !TRACE.test(traceId) || ZEROS.test(traceId)) return undefined;
  if (parentId === undefined || !SPAN.test(parentId) || ZEROS.test(parentId)) return undefined;
  return context('b3 fields', traceId, parentId, sampling);
}

/** `true` and `false` are what old tracers send. */
const SAMPLING: Readonly<Record<string, string>> = { 0: '0', 1: '1', false: '0', true: '1' };

function context(
  form: 'b3' | 'b3 fields',
  traceId: string | undefined,
  parentId: string | undefined,
  sampling: string | undefined,
): TraceContext {
  const sampled = sampling === undefined ? undefined : sampling !== '0';
  return { form, traceId, parentId, sampled, debug: sampling === 'd', flags: 0 };
}

import { About, Field, makeField } from '../http/fields.ts';
import { grpcTrace } from './grpc-trace.ts';
import type { TraceContext } from './trace-context.ts';
import { traceparent } from './traceparent.ts';

/** What a request says from here on: who is next is a child of this span. */
export interface NextContext {
  /** 32 hexadecimal digits; one that came goes on as it came. */
  readonly traceId: string;
  readonly spanId: string;
  /** What it said when it came; undefined: nothing that holds, so the trace begins here. */
  readonly parent: TraceContext | undefined;
}

/**
 * The fields of a request with those of its context replaced, in the form in which it came; the others, and
 * `tracestate`, stay as they are. Where the trace begins here, what was malformed is left out, and so is
 * `tracestate`, which is about another trace (W3C Trace Context, section 4.2).
 */
export function continuedFields(fields: readonly Field[], next: NextContext): readonly Field[] {
  const wanted = valuesOf(next);
  const names = new Set(wanted.keys());
  const begins = next.parent === undefined;
  const sent: Field[] = [];
  for (const field of fields) {
    const value = wanted.get(field.lower);
    if (value !== undefined) {
      wanted.delete(field.lower);
      sent.push(new Field(field.name, value, field.about, field.sensitive));
    } else if (names.has(field.lower)) {
      // A second one: with both nobody would know which holds.
      continue;
    } else if (!begins || !((field.about.bits & About.TRACE) !== 0 || field.lower === 'tracestate')) {
      sent.push(field);
    }
  }
  for (const [name, value] of wanted) sent.push(makeField(name, value));
  return sent;
}

/** The fields of the context, by lower-case name. */
function valuesOf({ spanId, parent, traceId: own }: NextContext): Map<string, string> {
  const traceId = parent?.traceId ?? own;
  switch (parent?.form) {
    case 'b3':
    case 'b3 fields':
      return b3Values(parent, traceId, spanId);
    case 'grpc-trace-bin':
      return new Map([['grpc-trace-bin', grpcTrace(traceId, spanId)]]);
    default:
      return new Map([['traceparent', traceparent(traceId, spanId, parent?.flags ?? 0)]]);
  }
}

/** The span of before becomes the parent. */
function b3Values(
  { form, debug, parentId }: TraceContext,
  traceId: string,
  spanId: string,
): Map<string, string> {
  if (form === 'b3') {
    const parts = [traceId, spanId, debug ? 'd' : '1', ...(parentId === undefined ? [] : [parentId])];
    return new Map([[form, parts.join('-')]]);
  }
  const values = new Map([
    ['x-b3-traceid', traceId],
    ['x-b3-spanid', spanId],
  ]);
  if (parentId !== undefined) values.set('x-b3-parentspanid', parentId);
  // Debug says it by itself.
  if (!debug) values.set('x-b3-sampled', '1');
  return values;
}

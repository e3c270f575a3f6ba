import { About, type Field } from '../http/fields.ts';
import { readB3, readB3Fields } from './b3.ts';
import { readGrpcTrace } from './grpc-trace.ts';
import type { TraceContext } from './trace-context.ts';
import { readTraceparent } from './traceparent.ts';

/** Longest value that is read; those of all forms are shorter. */
const MAX_VALUE = 256;

/** The fields of contexts, each at most once. */
class ContextFields {
  readonly #values = new Map<string, string | undefined>();

  add({ lower, value }: Field): void {
    // Of two nobody knows which one holds, so there is none.
    const known = this.#values.has(lower) || value.length > MAX_VALUE;
    this.#values.set(lower, known ? undefined : value);
  }

  get(name: string): string | undefined {
    return this.#values.get(name);
  }
}

/**
 * The context of a request: the first of traceparent, b3, the fields of b3 and grpc-trace-bin that is whole
 * (the order of Linkerd's proxies). One that is malformed counts as absent. Takes time in proportion to the
 * number of fields.
 */
export function readContext(fields: readonly Field[]): TraceContext | undefined {
  const found = new ContextFields();
  for (const field of fields) if (field.about.bits & About.TRACE) found.add(field);
  const get = (name: string) => found.get(name);
  return (
    readTraceparent(get('traceparent')) ??
    readB3(get('b3')) ??
    readB3Fields(get) ??
    readGrpcTrace(get('grpc-trace-bin'))
  );
}

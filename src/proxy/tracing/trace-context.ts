/** The form in which a context comes, and is passed on. */
export type TraceForm = 'traceparent' | 'b3' | 'b3 fields' | 'grpc-trace-bin';

/** What a request says of the trace that it is a part of. */
export interface TraceContext {
  readonly form: TraceForm;
  /** 32 hexadecimal digits as they came, or 16 with b3; undefined: b3 says only whether to sample. */
  readonly traceId: string | undefined;
  /** 16 hexadecimal digits. */
  readonly parentId: string | undefined;
  /** Undefined: it is left to us (b3 only). */
  readonly sampled: boolean | undefined;
  /** b3: to be recorded whatever anybody else thinks. */
  readonly debug: boolean;
  /** Flags of traceparent, as they came. */
  readonly flags: number;
}

/** The id of its trace as spans, logs and exemplars have it: 32 hexadecimal digits in lower case. */
export function traceIdOf({ traceId }: Pick<TraceContext, 'traceId'>): string | undefined {
  return traceId?.toLowerCase().padStart(32, '0');
}

/** Upper bounds of latency buckets, milliseconds (linkerd2-proxy's `response_latency_ms`). */
export const LATENCY_BUCKETS: readonly number[] = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10_000, 20_000,
  30_000, 40_000, 50_000,
];

/** Responses of one status. */
export interface ResponseNumbers {
  count: number;
  /** Milliseconds to the first byte, added up. */
  latencySum: number;
  /** One more than there are bounds; not cumulative. */
  readonly buckets: number[];
}

/** Counts a response under its key. @param ms time to its head */
export function observe(responses: Map<number, ResponseNumbers>, key: number, ms: number): void {
  let numbers = responses.get(key);
  if (numbers === undefined) {
    const buckets = Array.from({ length: LATENCY_BUCKETS.length + 1 }, () => 0);
    numbers = { count: 0, latencySum: 0, buckets };
    responses.set(key, numbers);
  }
  numbers.count++;
  numbers.latencySum += ms;
  let at = 0;
  while (at < LATENCY_BUCKETS.length && ms > (LATENCY_BUCKETS[at] ?? 0)) at++;
  numbers.buckets[at] = (numbers.buckets[at] ?? 0) + 1;
}

/** gRPC statuses 0 to 16, and one for "not gRPC". */
const GRPC_STATUSES = 18;
/** gRPC's UNKNOWN, for what is no status. */
const GRPC_UNKNOWN = 2;

/** Status and gRPC status in one number: a string would be built for every response. */
export function responseKey(status: number, grpc: number | undefined): number {
  const valid = status >= 100 && status <= 599 ? status : 0;
  if (grpc === undefined) return valid * GRPC_STATUSES;
  return valid * GRPC_STATUSES + 1 + (grpc >= 0 && grpc <= 16 ? grpc : GRPC_UNKNOWN);
}

/** The reverse; status 0 is one that HTTP does not have. */
export function readResponseKey(key: number): { readonly status: number; readonly grpc: number | undefined } {
  const grpc = key % GRPC_STATUSES;
  return { status: Math.floor(key / GRPC_STATUSES), grpc: grpc === 0 ? undefined : grpc - 1 };
}

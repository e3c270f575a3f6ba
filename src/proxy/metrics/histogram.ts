/** Upper bounds of latency buckets, milliseconds (linkerd2-proxy's `response_latency_ms`). */
export const LATENCY_BUCKETS: readonly number[] = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10_000, 20_000,
  30_000, 40_000, 50_000,
];

/** What was counted of responses of one status. */
export interface ResponseNumbers {
  count: number;
  /** The sum of their times to the first byte, milliseconds. */
  latencySum: number;
  /**
   * How many lie in each bucket of `LATENCY_BUCKETS`, not cumulative; the last one is for those above all
   * bounds.
   */
  readonly buckets: number[];
}

/** Counts a response under its key. @param key of `responseKey` @param ms time to its head, milliseconds */
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

/** How many there are: gRPC statuses 0 to 16, and one for "not gRPC". */
const GRPC_STATUSES = 18;
/** gRPC's UNKNOWN, which stands for every number that is no status. */
const GRPC_UNKNOWN = 2;

/**
 * HTTP and gRPC status in one number, as a key; a string would have to be built for every response.
 * @param status one outside of 100 to 599 counts as 0
 * @param grpc undefined: the response is not gRPC
 */
export function responseKey(status: number, grpc: number | undefined): number {
  const valid = status >= 100 && status <= 599 ? status : 0;
  if (grpc === undefined) return valid * GRPC_STATUSES;
  return valid * GRPC_STATUSES + 1 + (grpc >= 0 && grpc <= 16 ? grpc : GRPC_UNKNOWN);
}

/** The statuses of a `responseKey`; status 0 stands for those that HTTP does not have. */
export function readResponseKey(key: number): { readonly status: number; readonly grpc: number | undefined } {
  const grpc = key % GRPC_STATUSES;
  return { status: Math.floor(key / GRPC_STATUSES), grpc: grpc === 0 ? undefined : grpc - 1 };
}

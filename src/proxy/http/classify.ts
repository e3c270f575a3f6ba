/**
 * gRPC statuses that count as failures of whoever answered: UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED,
 * INTERNAL, UNAVAILABLE and DATA_LOSS, as Linkerd's proxy classifies them (wire protocol 4).
 */
const GRPC_FAILURES: ReadonlySet<number> = new Set([2, 4, 7, 13, 14, 15]);

/**
 * Whether an answer counts as a failure for the balancer, metrics, access log and, unless a ServiceProfile's
 * response classes say otherwise, retries.
 * @param status HTTP status; undefined where none has come
 * @param grpc gRPC status; undefined where the answer is not gRPC
 */
export function isFailedAnswer(status: number | undefined, grpc: number | undefined): boolean {
  return (status !== undefined && status >= 500) || (grpc !== undefined && GRPC_FAILURES.has(grpc));
}

/**
 * gRPC statuses that count as failures of whoever answered: UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED,
 * INTERNAL, UNAVAILABLE and DATA_LOSS, as Linkerd's proxy classifies them (wire protocol 4).
 */
const GRPC_FAILURES: ReadonlySet<number> = new Set([2, 4, 7, 13, 14, 15]);

/**
 * Whether an answer is a failure, where nothing of its own is said about that (a ServiceProfile's response
 * classes): the one rule that balancer, retries, metrics and access log go by.
 * @param status of HTTP; undefined where none has come
 * @param grpc the gRPC status; undefined where the answer is no gRPC
 */
export function isFailedAnswer(status: number | undefined, grpc: number | undefined): boolean {
  return (status !== undefined && status >= 500) || (grpc !== undefined && GRPC_FAILURES.has(grpc));
}

import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';

/** The fields by which a call is known for gRPC. */
export const GRPC_FIELDS = { 'content-type': 'application/grpc', te: 'trailers' } as const;

/** Begins a call; what the client says follows on the stream. @param path `/package.Service/Method` */
export function grpcCall(session: ClientHttp2Session, path: string): ClientHttp2Stream {
  return session.request({ ':method': 'POST', ':path': path, ...GRPC_FIELDS });
}

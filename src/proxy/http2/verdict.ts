import { messageOf } from '../../api/errors/linkspan-error.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import { ConnectionError, Http2ErrorCode } from './errors.ts';
import { HpackError } from './hpack/decoder.ts';

/**
 * The error with which the connection ends: the peer's breach of the protocol, or an exception of ours, of
 * which the peer is told only that there was one.
 * @param boundary takes the exception
 */
export function verdictOf(error: unknown, boundary: Boundary): ConnectionError {
  if (error instanceof ConnectionError) return error;
  if (error instanceof HpackError)
    return new ConnectionError(Http2ErrorCode.COMPRESSION_ERROR, messageOf(error));
  return new ConnectionError(Http2ErrorCode.INTERNAL_ERROR, boundary.caught(error).message);
}

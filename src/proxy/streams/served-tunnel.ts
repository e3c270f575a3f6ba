import type { Boundary } from '../http/failure-boundary.ts';
import { ProxyFailure } from '../http/failures.ts';
import { Http2ErrorCode } from '../http2/errors.ts';
import { statusField } from '../http2/message.ts';
import type { Http2Stream } from '../http2/stream.ts';
import { refusalHead } from './stream-head.ts';
import { StreamConnection } from './stream-connection.ts';

const OK = [statusField(200)];

/**
 * The gateway's end of a tunnel. The peer gets 200 when the tunnel has been set up (`established`, or the
 * first bytes from the endpoint), or else a status that says why it was refused.
 */
export class ServedTunnel extends StreamConnection {
  readonly alternatives?: number;
  #answered = false;

  /** @param alternatives to how many other gateways the peer could go with its flow */
  constructor(stream: Http2Stream, remoteAddress: string, boundary: Boundary, alternatives = 0) {
    super(remoteAddress, boundary);
    if (alternatives > 0) this.alternatives = alternatives;
    this.stream = stream;
    stream.handler = this;
  }

  established(): void {
    if (this.#answered || this.dead) return;
    this.#answered = true;
    this.stream?.head(OK);
  }

  override send(chunk: Buffer): boolean {
    this.established();
    return super.send(chunk);
  }

  override end(onSent?: () => void): void {
    this.established();
    super.end(onSent);
  }

  protected override cut(code: number, error: Error | undefined): void {
    if (this.#answered || !(error instanceof ProxyFailure)) return super.cut(code, error);
    this.#answered = true;
    // A whole answer before the request's end, then NO_ERROR: the peer need not send the rest, and must not
    // throw the answer away for it (RFC 9113 section 8.1).
    this.stream?.head(refusalHead(error), true);
    this.stream?.reset(Http2ErrorCode.NO_ERROR);
  }
}

import type { PortProtocol } from '../../api/ports/port-protocol.ts';
import type { HttpVersion } from '../http/messages.ts';
import { type DialAddress, isUpgrading } from '../io/dial-address.ts';
import type { StreamCarrier } from './target-options.ts';

/**
 * How a request gets to an endpoint: as a stream of a connection that many targets share (stream mode), over
 * HTTP/2 to the mesh proxy before an application that speaks HTTP/1 (`upgraded`), or in the application's own
 * protocol.
 */
export type Transport = 'stream' | 'upgraded' | 'http1' | 'http2';

/**
 * Chooses how a request gets to an endpoint. Pure.
 * @param protocol what its application speaks
 * @param streams undefined: streams are out of the question
 */
export function transportTo(
  endpoint: DialAddress,
  protocol: 'http1' | 'http2',
  streams: Pick<StreamCarrier, 'takes'> | undefined,
): Transport {
  if (streams?.takes(endpoint) === true) return 'stream';
  if (protocol === 'http2') return 'http2';
  return isUpgrading(endpoint) ? 'upgraded' : 'http1';
}

/**
 * Whether requests of HTTP/1 clients may get to some endpoint otherwise than over HTTP/1. Pure.
 * @param said what the Service says that its pods speak
 * @param upgrading whether some endpoint is one that `isUpgrading`
 */
export function someOverHttp2(
  said: PortProtocol | undefined,
  upgrading: boolean,
  streams: Pick<StreamCarrier, 'possible'> | undefined,
): boolean {
  if (streams?.possible === true) return true;
  return said === 'http2' || (said !== 'opaque' && upgrading);
}

/**
 * What the endpoints' application speaks: what the Service says, else what the client's application does.
 * Pure.
 */
export function applicationProtocol(said: PortProtocol | undefined, version: HttpVersion): 'http1' | 'http2' {
  if (said === 'http1' || said === 'http2') return said;
  return version === 'HTTP/2' ? 'http2' : 'http1';
}

import type { Field } from '../http/fields.ts';
import type { Http2Connection } from '../http2/http2-connection.ts';
import type { EndpointPlace } from '../io/endpoint-address.ts';

/** Connections to endpoints that many targets share: requests travel on them as streams that say which target they are for. */
export interface StreamCarrier {
  /** What a stream says of where it goes. */
  readonly target: Field;
  /** Whether some endpoint takes streams, as far as is known. */
  readonly possible: boolean;
  /** Whether an endpoint takes streams, as far as is known. */
  takes(endpoint: EndpointPlace): boolean;
  /** A connection with room for a stream, if there is one now. */
  ready(endpoint: EndpointPlace): Http2Connection | undefined;
  /** Sees to it that there is one. @returns false when the endpoint takes no streams @throws ProxyFailure */
  prepare(endpoint: EndpointPlace): Promise<boolean>;
}

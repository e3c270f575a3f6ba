import type { ProxyFailure } from './failures.ts';
import type { Field } from './fields.ts';

/** The trace of a request that is recorded: it hears of each time that the request is sent. */
export interface RequestTrace {
  /** The request is treated as a route of a ServiceProfile says. */
  follows(route: string): void;
  /** It is about to be sent. @param endpoint `host:port` @param target `name:port` */
  beginTry(endpoint: string, target: string): TryTrace;
}

/** One time that a request is sent to an endpoint. */
export interface TryTrace {
  /** The fields of the request as they are sent: whoever gets them goes on with the trace at this try. */
  sent(fields: readonly Field[]): readonly Field[];
  /** The head of the final response has come. */
  answered(status: number, fields: readonly Field[]): void;
  /** The response is complete. */
  complete(trailers: readonly Field[] | undefined): void;
  /** Nothing more comes. */
  failed(failure: ProxyFailure): void;
  /** Nobody waits for it any more. @param late it has taken too long */
  abandoned(late: boolean): void;
}

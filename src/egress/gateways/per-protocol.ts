import type { SessionProtocol } from '../../proxy/http/messages.ts';

/**
 * What there is one of for each session protocol, once it is asked for: most Services are spoken to in one,
 * and many are quiet.
 */
export class PerProtocol<T> {
  // Few bytes, because there is one of these for each cluster of each Service.
  #http1: T | undefined;
  #http2: T | undefined;
  #opaque: T | undefined;

  /** Those that have been made. */
  get made(): (readonly [SessionProtocol, T])[] {
    const made: (readonly [SessionProtocol, T])[] = [];
    if (this.#http1 !== undefined) made.push(['http1', this.#http1]);
    if (this.#http2 !== undefined) made.push(['http2', this.#http2]);
    if (this.#opaque !== undefined) made.push(['opaque', this.#opaque]);
    return made;
  }

  /** The one of a protocol. @param make makes it, where it is asked for the first time */
  of(protocol: SessionProtocol, make: (protocol: SessionProtocol) => T): T {
    if (protocol === 'http1') return (this.#http1 ??= make(protocol));
    if (protocol === 'http2') return (this.#http2 ??= make(protocol));
    return (this.#opaque ??= make(protocol));
  }
}

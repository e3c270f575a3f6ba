import type { Clock, Timer } from '../../base/clock.ts';
import { STREAMS_ALPN, STREAMS_CLIENTS_ALPN, TRANSPORT_HEADER_ALPN } from '../../api/names.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import type { Connection, ConnectionHandler } from '../../proxy/io/connection.ts';
import type { ClaimedProtocol } from '../../proxy/downstream/client-protocol.ts';
import {
  HeaderError,
  type TransportHeader,
  TransportHeaderDecoder,
} from '../../proxy/io/transport-header.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Acceptor } from './mtls-listener.ts';

/** A connection whose client has proven its identity, and the service that it is for. */
export interface AuthenticatedConnection {
  readonly connection: Connection;
  readonly clientIdentity: string;
  readonly header: Omit<TransportHeader, 'protocol'> & { readonly protocol: ClaimedProtocol };
  /** Bytes behind the header that have been read already. */
  readonly first: Buffer;
}

/** Limits of what is accepted, and who takes it. */
export interface HeaderAcceptorOptions {
  readonly counters: ProxyCounters;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onAuthenticated: (connection: AuthenticatedConnection) => void;
  /** Time for the client to send its header, milliseconds. */
  readonly timeoutMs: number;
  /**
   * Called with each connection in stream mode; absent: stream mode is not offered.
   * @param namesClients whether its streams may name the client on whose behalf they are
   */
  readonly onStreams?:
    | ((connection: Connection, clientIdentity: string, namesClients: boolean) => void)
    | undefined;
  /** Whether streams that name clients are offered; default false. */
  readonly namesClients?: boolean;
}

/**
 * Accepts connections of other clusters: the transport header in the client's first bytes names the service
 * (wire protocol 1.3), or in stream mode each stream does.
 */
export class HeaderAcceptor implements Acceptor {
  readonly alpn: readonly string[];
  readonly alpnRequired = true;
  readonly named = true;
  readonly #options: HeaderAcceptorOptions;

  constructor(options: HeaderAcceptorOptions) {
    this.#options = options;
    const named = options.namesClients === true ? [STREAMS_CLIENTS_ALPN] : [];
    const streams = options.onStreams === undefined ? [] : [...named, STREAMS_ALPN];
    this.alpn = [...streams, TRANSPORT_HEADER_ALPN];
  }

  admit(connection: Connection, clientIdentity: string, protocol: string | undefined): void {
    const { onStreams } = this.#options;
    const namesClients = protocol === STREAMS_CLIENTS_ALPN;
    if (onStreams !== undefined && (namesClients || protocol === STREAMS_ALPN))
      return onStreams(connection, clientIdentity, namesClients);
    connection.handler = new HeaderWait(this.#options, clientIdentity, connection);
  }
}

/** Collects the transport header of one connection. */
class HeaderWait implements ConnectionHandler {
  readonly #options: HeaderAcceptorOptions;
  readonly #clientIdentity: string;
  readonly #decoder = new TransportHeaderDecoder();
  readonly #timer: Timer;

  constructor(options: HeaderAcceptorOptions, clientIdentity: string, connection: Connection) {
    this.#options = options;
    this.#clientIdentity = clientIdentity;
    this.#timer = options.clock.after(options.timeoutMs, () =>
      this.#refuse(connection, 'header timeout', ''),
    );
  }

  onData(connection: Connection, chunk: Buffer): void {
    try {
      const decoded = this.#decoder.push(chunk);
      if (decoded === undefined) return;
      this.#timer.cancel();
      const { header, rest } = decoded;
      const clientIdentity = this.#clientIdentity;
      this.#options.counters.header(header.protocol, header.name, header.port, clientIdentity);
      this.#options.onAuthenticated({ connection, clientIdentity, header, first: rest });
    } catch (error) {
      if (!(error instanceof HeaderError)) throw error;
      this.#refuse(connection, 'bad header', error.message);
    }
  }

  onEnd(connection: Connection): void {
    this.#refuse(connection, 'no header', '');
  }

  onDrain(): void {
    // Nothing is sent while the header is read.
  }

  onRetire(connection: Connection): void {
    this.#timer.cancel();
    connection.destroy();
  }

  onClose(): void {
    this.#timer.cancel();
  }

  #refuse(connection: Connection, reason: string, detail: string): void {
    this.#timer.cancel();
    this.#options.counters.refuse(reason);
    this.#options.log.debug({ reason, detail, client: this.#clientIdentity }, 'connection refused');
    connection.destroy();
  }
}

import type { SocketAddress } from '../../base/address.ts';
import { parseAddress } from '../../base/address.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import type { Connection } from '../../proxy/io/connection.ts';
import type { AuthenticatedConnection } from './header-acceptor.ts';
import type { Acceptor } from './mtls-listener.ts';

/** Settings of a port that stands for one service, for clients that send no transport header. */
export interface FixedListener {
  readonly address: SocketAddress;
  /** DNS name of the service, as a transport header would have it. */
  readonly name: string;
  /** Port of the service. */
  readonly port: number;
  /** `http`: HTTP/1 or HTTP/2, by ALPN or by the first bytes; `opaque`: whatever comes. */
  readonly protocol: 'http' | 'opaque';
}

const EMPTY = Buffer.alloc(0);
const FORM = /^(.+)=([a-z0-9](?:[a-z0-9._-]*[a-z0-9])?):(\d{1,5})(?:\/(http|opaque))?$/i;

/**
 * Reads `0.0.0.0:8443=web.demo:80` or `…/opaque` (flag `--listeners`). A name of two labels is a Service of
 * this cluster.
 * @throws LinkspanError CONFIG_INVALID
 */
export function parseFixedListener(text: string, clusterDomain: string): FixedListener {
  const [, address = '', service = '', port = '', protocol = 'http'] = FORM.exec(text) ?? [];
  if (address === '' || Number(port) < 1 || Number(port) > 65_535)
    throw new LinkspanError(
      'CONFIG_INVALID',
      `--listeners: "${text}" is not of the form <address>=<service>.<namespace>:<port>[/http or /opaque]`,
    );
  const name = service.split('.').length === 2 ? `${service}.svc.${clusterDomain}` : service;
  return {
    address: parseAddress(address, '--listeners'),
    name: name.toLowerCase(),
    port: Number(port),
    protocol: protocol.toLowerCase() === 'opaque' ? 'opaque' : 'http',
  };
}

/** A port, and who takes its connections. */
export interface FixedAcceptorOptions {
  readonly listener: FixedListener;
  readonly onAuthenticated: (connection: AuthenticatedConnection) => void;
}

/**
 * Accepts ordinary mTLS clients (VMs, an ingress, load generators): without a transport header, with any
 * server name.
 */
export class FixedAcceptor implements Acceptor {
  readonly alpn: readonly string[];
  readonly alpnRequired = false;
  readonly named = false;
  readonly #options: FixedAcceptorOptions;

  constructor(options: FixedAcceptorOptions) {
    this.#options = options;
    this.alpn = options.listener.protocol === 'http' ? ['h2', 'http/1.1'] : [];
  }

  admit(connection: Connection, clientIdentity: string, alpn: string | undefined): void {
    const { listener, onAuthenticated } = this.#options;
    const { name, port } = listener;
    const protocol = alpn === undefined ? listener.protocol : alpn === 'h2' ? 'http2' : 'http1';
    onAuthenticated({ connection, clientIdentity, header: { name, port, protocol }, first: EMPTY });
  }
}

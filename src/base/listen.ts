import type { Server } from 'node:net';
import type { ErrorCode } from '../api/errors/error-catalogue.ts';
import { LinkspanError, messageOf } from '../api/errors/linkspan-error.ts';
import { formatAddress, type SocketAddress } from './address.ts';

/** What the kernel says (bind(2), listen(2)), as codes of ours. */
const CODES = new Map<string, ErrorCode>([
  ['EADDRINUSE', 'PORT_IN_USE'],
  ['EACCES', 'PORT_NOT_PERMITTED'],
  ['EPERM', 'PORT_NOT_PERMITTED'],
  ['EADDRNOTAVAIL', 'ADDRESS_NOT_LOCAL'],
  ['EAFNOSUPPORT', 'ADDRESS_NOT_LOCAL'],
]);

/**
 * Has a server listen on an address. Later errors of the server, such as of a connection that cannot be
 * accepted, are not uncaught: they concern nobody.
 * @param sharing with whom the port may be shared, as of `net.Server.listen`; default nobody
 * @throws LinkspanError PORT_IN_USE, PORT_NOT_PERMITTED, ADDRESS_NOT_LOCAL, or LISTEN_FAILED
 */
export function listenOn(
  server: Server,
  address: SocketAddress,
  sharing: { readonly reusePort?: boolean; readonly exclusive?: boolean } = {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.on('error', (error: NodeJS.ErrnoException) => {
      const what = `cannot listen on ${formatAddress(address)}: ${messageOf(error)}`;
      reject(new LinkspanError(CODES.get(error.code ?? '') ?? 'LISTEN_FAILED', what, { cause: error }));
    });
    server.listen({ ...address, ...sharing }, resolve);
  });
}

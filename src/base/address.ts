import { isIP } from 'node:net';
import { LinkspanError } from '../api/errors/linkspan-error.ts';

/** A socket address; IPv6 hosts are held without brackets. */
export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, with brackets where the host is an IPv6 address. */
export function formatAddress(address: SocketAddress): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/**
 * Parses `1.2.3.4:80`, `[::1]:80`, `name:80` or `:80` (all interfaces).
 * @param setting name of the flag or field, for the message
 * @throws LinkspanError CONFIG_INVALID
 */
export function parseAddress(text: string, setting: string): SocketAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535 || (match?.[1] !== undefined && isIP(match[1]) !== 6)) {
    throw new LinkspanError(
      'CONFIG_INVALID',
      `${setting}: "${text}" is not an address of the form host:port`,
    );
  }
  return { host: host === '' ? '0.0.0.0' : host, port };
}

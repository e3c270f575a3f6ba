import { addressBytes } from '../../base/ip-ranges.ts';
import { textBefore } from '../../base/text.ts';
import type { Network } from '../../api/linkerd/linkerd-kinds.ts';

/** Linkerd's default for the networks of a cluster (`clusterNetworks` of its chart). */
export const DEFAULT_CLUSTER_NETWORKS: readonly string[] = [
  '10.0.0.0/8',
  '100.64.0.0/10',
  '172.16.0.0/12',
  '192.168.0.0/16',
  'fd00::/8',
];

interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

/**
 * Whether an address is in one of the networks and in none of its exceptions. A network that does not parse,
 * or has an exception that does not, contains no address. Pure.
 */
export function inNetworks(networks: readonly Network[], address: string): boolean {
  const client = parseIp(address);
  if (client === undefined) return false;
  return networks.some(({ cidr = '', except = [] }) => {
    if (holds(cidr, client) !== true) return false;
    return except.every((part) => holds(part, client) === false);
  });
}

/** Whether a text is a network (`10.0.0.0/8`, `fd00::/8`) or an address. */
export function isNetwork(text: string): boolean {
  return parseNetwork(text) !== undefined;
}

/** @returns undefined when the text is no network */
function holds(cidr: string, address: Address): boolean | undefined {
  const network = parseNetwork(cidr);
  if (network === undefined) return undefined;
  if (network.address.bits !== address.bits) return false;
  const shift = BigInt(address.bits - network.prefix);
  return address.value >> shift === network.address.value >> shift;
}

function parseNetwork(text: string): { readonly address: Address; readonly prefix: number } | undefined {
  const [ip = '', length, ...rest] = text.split('/');
  const address = parseIp(ip);
  if (address === undefined || rest.length > 0) return undefined;
  if (length === undefined) return { address, prefix: address.bits };
  const prefix = /^\d{1,3}$/.test(length) ? Number(length) : 129;
  return prefix <= address.bits ? { address, prefix } : undefined;
}

/**
 * Parses an address; an IPv4-mapped one, as a dual-stack socket shows it (`::ffff:1.2.3.4`), counts as IPv4.
 */
function parseIp(text: string): Address | undefined {
  const bytes = addressBytes(textBefore(text, '%'));
  if (bytes === undefined) return undefined;
  const view = new DataView(bytes.buffer);
  const value = (view.getBigUint64(0) << 64n) | view.getBigUint64(8);
  return value >> 32n === 0xffffn ? { bits: 32, value: value & 0xffffffffn } : { bits: 128, value };
}

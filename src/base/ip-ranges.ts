import { isIPv4 } from 'node:net';
import { textBefore } from './text.ts';

/**
 * An IP address as its 16 bytes; IPv4 in the form that IPv6 maps it to (`::ffff:a.b.c.d`, RFC 4291 2.5.5.2),
 * so that both families compare alike.
 */
type Bytes = Uint8Array;

interface Range {
  readonly bytes: Bytes;
  /** Leading bits that count, of 128. */
  readonly bits: number;
}

/** Longest text of an IPv6 address; longer text is not looked at. */
const MAX_TEXT = 45;
const MAPPED_BITS = 96;
const ADDRESS_BITS = 128;
/** How sockets write an IPv4 address on a port of both families. */
const MAPPED_PREFIX = '::ffff:';

/**
 * The bytes of an address; undefined for everything that is not one in its strict form: no leading zeros or
 * missing parts (`127.1`, `0177.0.0.1`, which resolvers take), no zone (`fe80::1%eth0`), no blanks.
 */
export function addressBytes(text: string): Bytes | undefined {
  if (text.length > MAX_TEXT || text.includes('%')) return undefined;
  const bytes = new Uint8Array(16);
  if (isIPv4(text)) {
    bytes[10] = 0xff;
    bytes[11] = 0xff;
    bytes.set(text.split('.').map(Number), 12);
    return bytes;
  }
  const groups = ipv6Groups(text);
  if (groups === undefined) return undefined;
  for (const [index, group] of groups.entries()) {
    bytes[index * 2] = group >> 8;
    bytes[index * 2 + 1] = group & 0xff;
  }
  return bytes;
}

/**
 * The key under which an address' connections are counted as those of one client: an IPv4 address as it is
 * (`::ffff:1.2.3.4` counts as 1.2.3.4), an IPv6 address by its /64, because one machine may have all
 * addresses of it. A text that is no address is its own key. Pure.
 */
export function clientKeyOf(address: string): string {
  // Called for every connection, so that the usual forms are not parsed.
  const tail = address.startsWith(MAPPED_PREFIX) ? address.slice(MAPPED_PREFIX.length) : address;
  if (isIPv4(tail)) return tail;
  const bytes = addressBytes(textBefore(address, '%'));
  if (bytes === undefined) return address;
  return isIpv4(bytes) ? bytes.subarray(12).join('.') : `${bytes.subarray(0, 8).join('.')}/64`;
}

/** How many groups of 16 bits an IPv6 address has. */
const GROUPS = 8;

/**
 * The eight groups of an IPv6 address (RFC 4291 section 2.2); undefined where the text is none. Node's `isIP`
 * takes the same texts, but the expression that it looks with takes 5 ms to compile, in every start.
 */
function ipv6Groups(text: string): number[] | undefined {
  const gap = text.indexOf('::');
  if (gap < 0) {
    const groups = groupsOf(text, true);
    return groups?.length === GROUPS ? groups : undefined;
  }
  const head = gap === 0 ? [] : groupsOf(text.slice(0, gap), false);
  const tail = gap + 2 === text.length ? [] : groupsOf(text.slice(gap + 2), true);
  if (head === undefined || tail === undefined || head.length + tail.length >= GROUPS) return undefined;
  return [...head, ...Array.from({ length: GROUPS - head.length - tail.length }, () => 0), ...tail];
}

/**
 * The groups of a part without `::`.
 * @param last whether it may end with an IPv4 address, which counts as two groups
 */
function groupsOf(part: string, last: boolean): number[] | undefined {
  const groups: number[] = [];
  const texts = part.split(':');
  for (const [index, text] of texts.entries()) {
    if (last && index === texts.length - 1 && isIPv4(text)) {
      const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number);
      groups.push((a << 8) | b, (c << 8) | d);
    } else if (/^[0-9a-f]{1,4}$/i.test(text)) groups.push(Number.parseInt(text, 16));
    else return undefined;
  }
  return groups;
}

/**
 * A set of address ranges in CIDR notation. A lookup costs one step for each prefix length that occurs,
 * however many ranges there are (each node of a cluster has its own).
 */
export class IpRanges {
  /** The ranges' texts as they were given. */
  readonly texts: readonly string[];
  /** Ranges of IPv4 addresses: by the bits that do not count, the bits that do as a number, and the text. */
  readonly #ipv4 = new Map<number, Map<number, string>>();
  /** The others: by prefix length, the masked bytes as a string, and the text. */
  readonly #ipv6 = new Map<number, Map<string, string>>();

  /** @throws RangeError naming the first text that is neither an address nor a range */
  constructor(texts: readonly string[]) {
    this.texts = texts;
    for (const text of texts) {
      const range = parseRange(text);
      if (range === undefined) throw new RangeError(`"${text}" is no range such as 10.0.0.0/16`);
      const { bytes, bits } = range;
      if (bits >= MAPPED_BITS && isIpv4(bytes)) {
        const ignored = ADDRESS_BITS - bits;
        entryOf(this.#ipv4, ignored).set(ipv4Prefix(bytes, ignored), text);
      } else entryOf(this.#ipv6, bits).set(masked(bytes, bits), text);
    }
  }

  get empty(): boolean {
    return this.texts.length === 0;
  }

  /** The text of a range that contains the address; undefined where none does or the text is no address. */
  find(address: string): string | undefined {
    const bytes = addressBytes(address);
    return bytes === undefined ? undefined : this.findBytes(bytes);
  }

  /** The same for an address that is parsed already. */
  findBytes(bytes: Bytes): string | undefined {
    const ipv4 = isIpv4(bytes);
    if (ipv4)
      for (const [ignored, known] of this.#ipv4) {
        const found = known.get(ipv4Prefix(bytes, ignored));
        if (found !== undefined) return found;
      }
    for (const [bits, known] of this.#ipv6) {
      // A longer range that has IPv4 addresses is one of IPv4.
      if (ipv4 && bits >= MAPPED_BITS) continue;
      const found = known.get(masked(bytes, bits));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** The entry of a map of maps, made where there is none. */
function entryOf<K, V>(maps: Map<number, Map<K, V>>, key: number): Map<K, V> {
  let entry = maps.get(key);
  if (entry === undefined) maps.set(key, (entry = new Map()));
  return entry;
}

/** Whether an address is one of IPv4 in its mapped form. */
function isIpv4(bytes: Bytes): boolean {
  for (let at = 0; at < 10; at++) if (bytes[at] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

/** The bits of an IPv4 address but for the last `ignored`, 0 to 32. */
function ipv4Prefix(bytes: Bytes, ignored: number): number {
  // JavaScript shifts by 32 as by 0.
  if (ignored === 32) return 0;
  let word = 0;
  for (let at = 12; at < 16; at++) word = (word << 8) | (bytes[at] as number);
  return word >>> ignored;
}

/** A range, or one address as a range of its own; undefined where the text is neither. */
function parseRange(text: string): Range | undefined {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const bytes = addressBytes(address);
  if (bytes === undefined) return undefined;
  const size = address.includes(':') ? ADDRESS_BITS : 32;
  const digits = slash < 0 ? String(size) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(digits) || Number(digits) > size) return undefined;
  return { bytes, bits: Number(digits) + (size === 32 ? MAPPED_BITS : 0) };
}

/** The leading bits of an address as a key. */
function masked(bytes: Bytes, bits: number): string {
  let key = '';
  for (let i = 0, left = bits; left > 0; i++, left -= 8) {
    const mask = left >= 8 ? 0xff : (0xff << (8 - left)) & 0xff;
    key += String.fromCharCode((bytes[i] ?? 0) & mask);
  }
  return key;
}

/**
 * Ranges that can never be the address of another cluster, whatever the network: those of the IANA
 * special-purpose registries (RFC 6890) and the clouds' metadata services.
 */
const NEVER: readonly (readonly [what: string, ranges: IpRanges])[] = [
  ['unspecified', new IpRanges(['0.0.0.0/8', '::/128'])],
  ['loopback', new IpRanges(['127.0.0.0/8', '::1/128'])],
  ['link-local', new IpRanges(['169.254.0.0/16', 'fe80::/10'])],
  ['multicast', new IpRanges(['224.0.0.0/4', 'ff00::/8'])],
  ['broadcast', new IpRanges(['255.255.255.255/32'])],
  // AWS over IPv6, Alibaba, Azure, Oracle; other clouds' are link-local addresses.
  [
    "a cloud's metadata service",
    new IpRanges(['fd00:ec2::254/128', '100.100.100.200/32', '168.63.129.16/32', '192.0.0.192/32']),
  ],
];

/**
 * IPv6 ranges that embed an IPv4 address, with its offset in bytes: IPv4-compatible (RFC 4291), NAT64 (RFC
 * 6052), 6to4 (RFC 3056). IPv4-mapped addresses compare as IPv4 anyway.
 */
const CARRIERS: readonly (readonly [ranges: IpRanges, offset: number])[] = [
  [new IpRanges(['::/96', '64:ff9b::/96']), 12],
  [new IpRanges(['2002::/16']), 2],
];

/**
 * Every address that a text stands for: the address itself, and the IPv4 address that an IPv6 one embeds.
 * Empty where the text is no address in strict form (`addressBytes`).
 */
export function addressForms(text: string): readonly Bytes[] {
  const bytes = addressBytes(text);
  if (bytes === undefined) return [];
  const carrier = CARRIERS.find(([ranges]) => ranges.findBytes(bytes) !== undefined);
  if (carrier === undefined) return [bytes];
  const carried = new Uint8Array(16);
  carried.set([0xff, 0xff], 10);
  carried.set(bytes.subarray(carrier[1], carrier[1] + 4), 12);
  return [bytes, carried];
}

/**
 * Why an address cannot be another cluster's: the kind of special range it lies in (`loopback`, `link-local`,
 * …), or `not an IP address`; undefined where it may be one.
 */
export function neverRemote(text: string): string | undefined {
  const forms = addressForms(text);
  if (forms.length === 0) return 'not an IP address';
  // The address itself first: ::1 is known as loopback, not by the IPv4 address that it embeds.
  for (const form of forms)
    for (const [what, ranges] of NEVER) if (ranges.findBytes(form) !== undefined) return what;
  return undefined;
}

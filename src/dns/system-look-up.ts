import { promises as dns } from 'node:dns';
import { readFileSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import {
  answerOf,
  type FamilyAnswer,
  failureOf,
  hasAddresses,
  type LookUp,
  type NameAnswer,
} from './answer.ts';
import { addressesInHosts } from './hosts-file.ts';
import { searchCandidates, parseSearchRules } from './resolv-conf.ts';

/** TTL of addresses from `/etc/hosts`, milliseconds. */
const HOSTS_TTL_MS = 30_000;
/** How long a file's text is cached, milliseconds. */
const FILE_MS = 5_000;
/**
 * Timeout of one query to one name server (milliseconds, doubling up to the maximum) and how often it is
 * sent. A dead name server costs one second, so that the next one's answer arrives within two.
 */
const QUERY = { timeout: 1000, tries: 3, maxTimeout: 2000 };
/**
 * How long the addresses of one family wait for the answer for the other, milliseconds: some name servers
 * never answer for AAAA.
 */
const OTHER_FAMILY_MS = 1000;
/** Codes of c-ares that mean `none`: an authoritative answer without addresses, or a text that is no name. */
const NONE_CODES = new Set(['ENOTFOUND', 'ENODATA', 'EBADNAME', 'ERR_INVALID_ARG_TYPE']);
/** Codes of c-ares that mean that no name server answered, so that the other candidates are not tried. */
const NO_ANSWER_CODES = new Set(['ETIMEOUT', 'ECONNREFUSED', 'ECANCELLED']);

export interface SystemLookUpOptions {
  readonly clock: Clock;
  /** Text of a file; default from the disk, empty where it cannot be read. */
  readonly read?: (file: '/etc/hosts' | '/etc/resolv.conf') => string;
  /** Name servers (`10.0.0.10`, `127.0.0.1:5353`) in place of those of resolv.conf. */
  readonly servers?: readonly string[];
  /** Time of one query (milliseconds) and tries; default `QUERY`. */
  readonly query?: Partial<typeof QUERY>;
}

/**
 * Looks names up as the system does, in files first: `/etc/hosts`, then the name servers of
 * `/etc/resolv.conf`, with its search domains and `ndots`, for A and AAAA. c-ares does the asking and not
 * getaddrinfo, which has no TTL and two threads for all names of the process (ADR 0032). Every look-up has a
 * c-ares channel of its own, with sockets, source ports and timers that other names' silence does not affect
 * and that are closed afterwards.
 */
export function systemLookUp(options: SystemLookUpOptions): LookUp {
  const files = new Files(options);
  return async (name, signal) => {
    signal.throwIfAborted();
    const fixed = isLocalhost(name) ? ['127.0.0.1', '::1'] : addressesInHosts(files.text('/etc/hosts'), name);
    if (fixed.length > 0) return answerOf(fixed, HOSTS_TTL_MS);
    const resolver = new dns.Resolver({ ...QUERY, ...options.query });
    if (options.servers !== undefined) resolver.setServers(options.servers);
    const cancel = () => resolver.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      let failed: NameAnswer | undefined;
      for (const candidate of searchCandidates(name, parseSearchRules(files.text('/etc/resolv.conf')))) {
        const answer = await ask(resolver, candidate, options.clock);
        signal.throwIfAborted();
        if (hasAddresses(answer)) return answer;
        const failure = failureOf(answer);
        if (failure === undefined) continue;
        failed ??= answer;
        if (NO_ANSWER_CODES.has(codeOf(failure))) break;
      }
      return failed ?? answerOf([], 0);
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  };
}

/** Asks for both families at once. */
async function ask(resolver: dns.Resolver, name: string, clock: Clock): Promise<NameAnswer> {
  const ipv4 = familyAnswer(() => resolver.resolve4(name, { ttl: true }));
  const ipv6 = familyAnswer(() => resolver.resolve6(name, { ttl: true }));
  const first = await Promise.race([ipv4, ipv6]);
  const late =
    first.kind === 'addresses'
      ? clock.after(OTHER_FAMILY_MS, () => resolver.cancel(), { unref: true })
      : undefined;
  const answer = { ipv4: await ipv4, ipv6: await ipv6 };
  late?.cancel();
  return answer;
}

async function familyAnswer(
  query: () => Promise<readonly { readonly address: string; readonly ttl: number }[]>,
): Promise<FamilyAnswer> {
  try {
    const records = await query();
    if (records.length === 0) return { kind: 'none' };
    const ttlMs = Math.min(...records.map(({ ttl }) => ttl)) * 1000;
    return { kind: 'addresses', addresses: records.map(({ address }) => address), ttlMs };
  } catch (error) {
    if (NONE_CODES.has(codeOf(error))) return { kind: 'none' };
    return { kind: 'failed', error: error instanceof Error ? error : new Error(messageOf(error)) };
  }
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? '';
}

/** Names that mean this machine and are not looked up (RFC 6761 section 6.3). */
function isLocalhost(name: string): boolean {
  return /^(?:[^.]+\.)*localhost\.?$/i.test(name);
}

/** A cache of small files that hardly ever change, read again when they are needed after `FILE_MS`. */
class Files {
  readonly #clock: Clock;
  readonly #read: NonNullable<SystemLookUpOptions['read']>;
  readonly #texts = new Map<string, { text: string; until: number }>();

  constructor({ clock, read = readOrEmpty }: SystemLookUpOptions) {
    this.#clock = clock;
    this.#read = read;
  }

  text(file: '/etc/hosts' | '/etc/resolv.conf'): string {
    const now = this.#clock.monotonic();
    const known = this.#texts.get(file);
    if (known !== undefined && now < known.until) return known.text;
    const text = this.#read(file);
    this.#texts.set(file, { text, until: now + FILE_MS });
    return text;
  }
}

/** A missing file counts as an empty one (hosts(5), resolv.conf(5)). */
function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

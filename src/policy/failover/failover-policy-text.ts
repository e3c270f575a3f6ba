import { MAX_ENDPOINTS } from '../../api/failover/failover-facts.ts';
import { FAILOVER_POLICY } from '../../api/failover/failover-names.ts';
import { parseDuration } from '../../base/duration.ts';
import { isDnsLabel, listItems } from '../../base/text.ts';
import { DEFAULT_POLICY, type FailoverPolicy } from './failover-policy.ts';
import { Problems, shortened } from './problems.ts';

export interface ReadPolicy {
  readonly policy: FailoverPolicy;
  /** What is wrong with the text, one line each; the same text has the same lines. */
  readonly problems: readonly string[];
}

type Change = Partial<FailoverPolicy>;

/** How a key's value is read, and what its form is, for messages. */
interface Key {
  readonly form: string;
  /** Undefined: the value is not valid. */
  readonly read: (text: string) => Change | undefined;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Most names in a list: 16 clusters with two ways to call each. */
const MAX_NAMES = 32;
const MIN_WINDOW_MS = 10_000;
const MAX_OVERPROVISION = 10;
/** All standbys together must stay below a basis point. */
const MAX_STANDBY_PPM = 100;
const BASIS_POINTS = 10_000;

const KEYS: ReadonlyMap<string, Key> = new Map<string, Key>([
  [
    'overprovision',
    {
      form: 'a number from 1 to 10 such as 1.4',
      read: (text) => change(decimal(text, 1, MAX_OVERPROVISION), (overprovision) => ({ overprovision })),
    },
  ],
  [
    'min-healthy',
    {
      form: 'a share from 0% to 100%',
      read: (text) => change(percent(text), (share) => ({ minHealthy: share / BASIS_POINTS })),
    },
  ],
  ['delay', time('a time of up to 1h such as 30s', 0, HOUR, (delayMs) => ({ delayMs }))],
  ['max-delay', time('a time of up to 24h such as 10m', 0, DAY, (maxDelayMs) => ({ maxDelayMs }))],
  ['ramp', time('a time of up to 24h such as 60s', 0, DAY, (rampMs) => ({ rampMs }))],
  [
    'capacity-window',
    time('a time from 10s to 24h such as 10m', MIN_WINDOW_MS, DAY, (capacityWindowMs) => ({
      capacityWindowMs,
    })),
  ],
  [
    'standby',
    {
      form: 'a weight from 0ppm to 100ppm such as 1ppm',
      read: (text) => change(partsPerMillion(text), (standbyPpm) => ({ standbyPpm })),
    },
  ],
  [
    'max-share',
    {
      form: 'a list of names with the share of each, from 0.01% to 100%, such as west:50%,north:30%',
      read: (text) => change(named(text, positivePercent), (maxShare) => ({ maxShare })),
    },
  ],
  [
    'expected',
    {
      form: 'a list of names with the endpoints of each, such as west:30,north:12',
      read: (text) => change(named(text, endpoints), (expected) => ({ expected })),
    },
  ],
  [
    'on-unavailable',
    {
      form: 'redistribute or fail',
      read: (text) => (text === 'redistribute' || text === 'fail' ? { onUnavailable: text } : undefined),
    },
  ],
]);

/**
 * Reads `failover.linkspan.dev/policy`: `key=value` pairs, separated by blanks. Where a value is not valid,
 * the former one is kept, so that a typing error does not move traffic. Pure; never throws.
 * @param text from `readAnnotation`; undefined: there is none, and the defaults hold
 * @param before the policy until now, if it is known
 */
export function readFailoverPolicy(
  text: string | undefined,
  before: FailoverPolicy = DEFAULT_POLICY,
): ReadPolicy {
  if (text === undefined) return { policy: DEFAULT_POLICY, problems: [] };
  const problems = new Problems(FAILOVER_POLICY);
  let policy = DEFAULT_POLICY;
  const seen = new Set<string>();
  for (const word of text.split(/\s/)) {
    if (word === '') continue;
    const at = word.indexOf('=');
    const name = at < 0 ? word : word.slice(0, at);
    const key = KEYS.get(name);
    if (key === undefined) problems.add(`"${shortened(name)}" is no key, it is left out`);
    else if (seen.has(name)) problems.add(`"${name}" is there twice, the first one counts`);
    else {
      seen.add(name);
      const read = at < 0 ? undefined : key.read(word.slice(at + 1));
      if (read === undefined)
        problems.add(`"${shortened(word)}" is not ${key.form}, what held before holds on`);
      policy = { ...policy, ...(read ?? oneOf(before, name)) };
    }
  }
  if (policy.maxDelayMs >= policy.delayMs) return { policy, problems: problems.lines };
  problems.add('max-delay is shorter than delay, and is taken to be as long');
  return { policy: { ...policy, maxDelayMs: policy.delayMs }, problems: problems.lines };
}

/** Whether a `key=value` pair is right by itself, whatever stands beside it. */
export function isPolicyWord(word: string): boolean {
  const at = word.indexOf('=');
  return at >= 0 && KEYS.get(word.slice(0, at))?.read(word.slice(at + 1)) !== undefined;
}

const FIELDS: Readonly<Record<string, keyof FailoverPolicy>> = {
  overprovision: 'overprovision',
  'min-healthy': 'minHealthy',
  delay: 'delayMs',
  'max-delay': 'maxDelayMs',
  ramp: 'rampMs',
  'capacity-window': 'capacityWindowMs',
  standby: 'standbyPpm',
  'max-share': 'maxShare',
  expected: 'expected',
  'on-unavailable': 'onUnavailable',
};

/** The value of one key in another policy. */
function oneOf(policy: FailoverPolicy, name: string): Change {
  const field = FIELDS[name];
  return field === undefined ? {} : { [field]: policy[field] };
}

function change<T>(value: T | undefined, of: (value: T) => Change): Change | undefined {
  return value === undefined ? undefined : of(value);
}

function time(form: string, least: number, most: number, of: (ms: number) => Change): Key {
  return {
    form,
    read: (text) => {
      const ms = parseDuration(text);
      return ms === undefined || ms < least || ms > most ? undefined : of(ms);
    },
  };
}

function decimal(text: string, least: number, most: number): number | undefined {
  const value = /^\d{1,4}(\.\d{1,4})?$/.test(text) ? Number(text) : Number.NaN;
  return value >= least && value <= most ? value : undefined;
}

/** Basis points of a text such as `20%` or `0.5%`, with two decimals at most. */
function percent(text: string): number | undefined {
  const value = /^\d{1,3}(\.\d{1,2})?%$/.test(text)
    ? Math.round(Number(text.slice(0, -1)) * 100)
    : Number.NaN;
  return value <= BASIS_POINTS ? value : undefined;
}

function positivePercent(text: string): number | undefined {
  const value = percent(text);
  return value === 0 ? undefined : value;
}

function partsPerMillion(text: string): number | undefined {
  const value = /^\d{1,3}(ppm)?$/.test(text) ? Number.parseInt(text, 10) : Number.NaN;
  // Without a unit only 0 is valid: `1` might be meant as one per cent.
  return value <= MAX_STANDBY_PPM && (value === 0 || text.endsWith('ppm')) ? value : undefined;
}

function endpoints(text: string): number | undefined {
  const value = /^\d{1,7}$/.test(text) ? Number(text) : 0;
  return value >= 1 && value <= MAX_ENDPOINTS ? value : undefined;
}

/** `<name>:<value>`, separated by commas; undefined where one of them is not valid or a name is duplicate. */
function named(
  text: string,
  read: (text: string) => number | undefined,
): ReadonlyMap<string, number> | undefined {
  const items = listItems(text);
  const found = new Map<string, number>();
  for (const item of items.slice(0, MAX_NAMES)) {
    const at = item.indexOf(':');
    const name = item.slice(0, Math.max(0, at));
    const value = read(item.slice(at + 1));
    if (!isDnsLabel(name) || value === undefined) return undefined;
    found.set(name, value);
  }
  return found.size === items.length && found.size > 0 ? found : undefined;
}

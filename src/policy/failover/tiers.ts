import { FAILOVER_TIERS } from '../../api/failover/failover-names.ts';
import { isDnsLabel } from '../../base/text.ts';
import { Problems, shortened } from './problems.ts';

/** A backend that is named in a tier. */
export interface TierMember {
  readonly name: string;
  /** Absent: by capacity, or 1 where another backend of the tier has a weight. */
  readonly weight?: number;
}

/** Tiers of backends: each is used as far as it has capacity, before the next one is. */
export interface Tiers {
  readonly tiers: readonly (readonly TierMember[])[];
  /** The tier of backends that are not named (`*`); absent: they get no share. */
  readonly others?: number;
  /** The weight that each of these has. */
  readonly othersWeight?: number;
}

export interface ReadTiers {
  /** Absent: none are configured, and all backends are in one tier. */
  readonly tiers?: Tiers;
  /** What is wrong with the text, one line each; the same text has the same lines. */
  readonly problems: readonly string[];
}

/** Stands for all backends that are not named. */
const OTHERS = '*';
const MAX_TIERS = 16;
const MAX_MEMBERS = 256;
/** Largest weight: with larger ones, the sum of all would be more than Linkerd's proxy can take. */
export const MAX_WEIGHT = 1_000_000;

/**
 * Reads `failover.linkspan.dev/tiers`: `local; west, north=2; *`. If any part of the text is not valid, all
 * of it is ignored, and the former tiers are kept: without one of its names the rest would mean something
 * else. Pure; never throws.
 * @param text from `readAnnotation`
 * @param before the tiers until now, if they are known
 */
export function readTiers(text: string | undefined, before?: Tiers): ReadTiers {
  if (text === undefined) return { problems: [] };
  const problems = new Problems(FAILOVER_TIERS);
  const tiers = parseTiers(text, problems);
  if (problems.lines.length === 0) return { tiers, problems: [] };
  problems.add('what held before holds on');
  return { ...(before === undefined ? {} : { tiers: before }), problems: problems.lines };
}

function parseTiers(text: string, problems: Problems): Tiers {
  const parts = text.split(';', MAX_TIERS + 1);
  if (parts.length > MAX_TIERS) problems.add(`more than ${MAX_TIERS} tiers`);
  const names = new Set<string>();
  const tiers = parts.slice(0, MAX_TIERS).map((part) => parseTier(part, names, problems));
  if (names.size > MAX_MEMBERS) problems.add(`more than ${MAX_MEMBERS} names`);
  const others = tiers.findIndex((members) => members.some(({ name }) => name === OTHERS));
  const weight = tiers[others]?.find(({ name }) => name === OTHERS)?.weight;
  return {
    tiers: tiers.map((members) => members.filter(({ name }) => name !== OTHERS)),
    ...(others < 0 ? {} : { others }),
    ...(weight === undefined ? {} : { othersWeight: weight }),
  };
}

function parseTier(part: string, names: Set<string>, problems: Problems): TierMember[] {
  const members: TierMember[] = [];
  for (const item of part.split(',', MAX_MEMBERS + 1)) {
    const member = readMember(item.trim());
    if (member === undefined) problems.add(`"${shortened(item.trim())}" is not a name, or <name>=<weight>`);
    else if (names.has(member.name)) problems.add(`"${member.name}" is there twice`);
    else {
      names.add(member.name);
      members.push(member);
    }
  }
  return members;
}

function readMember(item: string): TierMember | undefined {
  const at = item.indexOf('=');
  const name = (at < 0 ? item : item.slice(0, at)).trimEnd();
  if (name !== OTHERS && !isDnsLabel(name)) return undefined;
  if (at < 0) return { name };
  const weight = weightOf(item.slice(at + 1));
  return weight === undefined ? undefined : { name, weight };
}

/** A weight, a whole number from 0 to a million; undefined: the text is not valid. */
export function weightOf(text: string): number | undefined {
  const trimmed = text.trim();
  const weight = /^\d{1,7}$/.test(trimmed) ? Number(trimmed) : Number.NaN;
  return weight <= MAX_WEIGHT ? weight : undefined;
}

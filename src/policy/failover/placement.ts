import { LOCAL } from '../../api/names.ts';
import {
  FAILOVER_CAPACITY_FACTOR,
  FAILOVER_TIER,
  FAILOVER_WEIGHT,
} from '../../api/failover/failover-names.ts';
import { Problems, shortened } from './problems.ts';
import { type TierMember, type Tiers, weightOf } from './tiers.ts';

/** What a Link configures for its cluster, for all Services. */
export interface LinkDefaults {
  readonly tier?: number;
  readonly weight?: number;
  /** Capacity of one of its endpoints, relative to an endpoint of the others; default 1. */
  readonly factor?: number;
}

/** The tier and the weight of a backend. */
export interface Place {
  readonly name: string;
  readonly tier: number;
  readonly weight?: number;
  readonly factor: number;
}

export interface Placement {
  readonly places: readonly Place[];
  /** Names in the tiers that are no backends: reason `TierUnknownMember`. */
  readonly unknown: readonly string[];
  /** Backends that are in no tier: they get no share. */
  readonly leftOut: readonly string[];
}

const MAX_TIER = 15;
const MIN_FACTOR = 0.01;
const MAX_FACTOR = 1000;
const NOTHING_SAID: LinkDefaults = {};

/**
 * Reads the failover annotations of a Link, each by itself; one that is not valid is left out. Pure; never
 * throws.
 */
export function readLinkDefaults(texts: {
  readonly tier: string | undefined;
  readonly weight: string | undefined;
  readonly factor: string | undefined;
}): { readonly defaults: LinkDefaults; readonly problems: readonly string[] } {
  const problems: string[] = [];
  const read = (
    annotation: string,
    text: string | undefined,
    parse: (text: string) => number | undefined,
  ): number | undefined => {
    const value = text === undefined ? undefined : parse(text.trim());
    if (text === undefined || value !== undefined) return value;
    const found = new Problems(annotation);
    found.add(`"${shortened(text)}" is not valid, it is left out`);
    problems.push(...found.lines);
    return undefined;
  };
  const tier = read(FAILOVER_TIER, texts.tier, (text) => (/^\d{1,2}$/.test(text) ? tierOf(text) : undefined));
  const weight = read(FAILOVER_WEIGHT, texts.weight, weightOf);
  const factor = read(FAILOVER_CAPACITY_FACTOR, texts.factor, factorOf);
  return {
    defaults: {
      ...(tier === undefined ? {} : { tier }),
      ...(weight === undefined ? {} : { weight }),
      ...(factor === undefined ? {} : { factor }),
    },
    problems,
  };
}

function tierOf(text: string): number | undefined {
  return Number(text) <= MAX_TIER ? Number(text) : undefined;
}

function factorOf(text: string): number | undefined {
  const factor = /^\d{1,4}(\.\d{1,4})?$/.test(text) ? Number(text) : Number.NaN;
  return factor >= MIN_FACTOR && factor <= MAX_FACTOR ? factor : undefined;
}

/**
 * The tier and the weight of each backend. The tiers of the object itself take precedence over the Links';
 * without either, all backends are in one tier. Tiers that contain no backend at all are ignored, as
 * otherwise none would be used.
 * @param names the backends: clusters, with `local` for this one, or backend Services
 * @param defaults what Links configure, by cluster
 */
export function placeBackends(
  names: readonly string[],
  tiers: Tiers | undefined,
  defaults: ReadonlyMap<string, LinkDefaults> = new Map(),
): Placement {
  const unknown = tiers === undefined ? [] : unknownOf(names, tiers);
  const places = tiers === undefined ? [] : placesOf(names, tiers, defaults);
  if (places.length === 0) return { places: byDefault(names, defaults), unknown, leftOut: [] };
  const placed = new Set(places.map(({ name }) => name));
  return { places, unknown, leftOut: names.filter((name) => !placed.has(name)) };
}

function unknownOf(names: readonly string[], { tiers }: Tiers): string[] {
  const known = new Set(names);
  return tiers
    .flat()
    .map(({ name }) => name)
    .filter((name) => !known.has(name));
}

function placesOf(
  names: readonly string[],
  { tiers, others, othersWeight }: Tiers,
  defaults: ReadonlyMap<string, LinkDefaults>,
): Place[] {
  const said = new Map<string, { readonly tier: number; readonly member: TierMember }>();
  for (const [tier, members] of tiers.entries())
    for (const member of members) said.set(member.name, { tier, member });
  return names.flatMap((name) => {
    const its = said.get(name);
    const tier = its?.tier ?? others;
    if (tier === undefined) return [];
    const byLink = name === LOCAL ? NOTHING_SAID : (defaults.get(name) ?? NOTHING_SAID);
    const weight = (its === undefined ? othersWeight : its.member.weight) ?? byLink.weight;
    return [placeOf(name, tier, weight, byLink.factor)];
  });
}

function byDefault(names: readonly string[], defaults: ReadonlyMap<string, LinkDefaults>): Place[] {
  return names.map((name) => {
    const { tier = 0, weight, factor } = (name === LOCAL ? undefined : defaults.get(name)) ?? NOTHING_SAID;
    return placeOf(name, tier, weight, factor);
  });
}

function placeOf(name: string, tier: number, weight: number | undefined, factor = 1): Place {
  return weight === undefined ? { name, tier, factor } : { name, tier, weight, factor };
}

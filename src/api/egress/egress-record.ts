import { PART_OF, PART_OF_LABEL } from '../names.ts';
import type { V1ConfigMap } from '@kubernetes/client-node';
import { DEFAULT_EGRESS_RANGE, isPort } from './egress-ports.ts';

/**
 * The record of egress ports: which port of the egress leads where. The controller alone writes it, as
 * ConfigMaps in the installation's namespace, one for each shard of the port range; the egress listens on and
 * dials what stands there and nothing else (ADR 0024). Each entry is one port: the key is the number, the
 * value JSON.
 */

/**
 * Shards of the range: 500 ports of at most 2 KiB each stay below the 1 MiB that a ConfigMap may have.
 * Changing it would give a port two homes.
 */
export const EGRESS_SHARDS = 40;
/** Longest value of a port, UTF-16 units. */
export const MAX_ROUTE_LENGTH = 2048;
/** Most addresses of a gateway that an entry names. */
const MAX_ADDRESSES = 16;
/** Label, and its value, of the record's ConfigMaps. */
export const RECORD_LABEL = 'linkspan.dev/record';
export const RECORD_VALUE = 'egress-routes';
export const RECORD_SELECTOR = `${RECORD_LABEL}=${RECORD_VALUE}`;
const SHARD_PREFIX = 'linkspan-egress-routes-';
/**
 * How long a port that was given back goes to nobody else: rules of kube-proxy that still lead there are gone
 * by then.
 */
export const FREED_HOLD_MS = 120_000;

/** A gateway by its addresses, as an entry names one other than the Link's. */
export interface RecordedGateway {
  readonly addresses: readonly string[];
  readonly port: number;
  readonly identity: string;
}

/** Who has an egress port, and where what arrives there goes. */
export interface EgressClaim {
  /** Local Service, `namespace/name`. */
  readonly mirror: string;
  /** The member's cluster where the Service is a federated one. */
  readonly member?: string;
  /** Port of the Service, there and here. */
  readonly port: number;
  /** The exported Service, `namespace/name`. */
  readonly export: string;
  /** The Link (`namespace/name`) that it came by, and the cluster that this names. */
  readonly link: string;
  readonly cluster: string;
  /** What the transport header says: `<svc>.<ns>.svc.<domain>`. */
  readonly target: string;
  /** Instead of the Link's; null: another one of which no address is known. */
  readonly gateway?: RecordedGateway | null;
}

/**
 * A port that was given back, and when (milliseconds since the epoch): for a while it is kept from others.
 */
export interface FreedPort {
  readonly mirror: string;
  readonly member?: string;
  readonly port: number;
  readonly freed: number;
}

/** The member of a `GroupClaim`: all of them. No cluster has this name, because names are in lower case. */
export const ANY_MEMBER = 'ANY';

/**
 * A port that leads to all members of a federated Service (ADR 0036). It does not list them: they are the
 * clusters that have a port of their own in the record for the same port of the Service. It is freed with the
 * last of these.
 */
export interface GroupClaim {
  readonly mirror: string;
  readonly member: typeof ANY_MEMBER;
  readonly port: number;
}

/** The member of an `ApexClaim`. No cluster has this name, either. */
export const APEX_MEMBER = 'APEX';

/**
 * A port that leads where the routes, the split or the tiers of a user's Service lead (ADR 0040). It names no
 * backend: what is written about the Service is for its own namespace to decide, and where a mirror leads
 * stands in the mirror's own entries. Releases without apexes find no claim in it and listen on nothing.
 */
export interface ApexClaim {
  readonly mirror: string;
  readonly member: typeof APEX_MEMBER;
  readonly port: number;
}

export type RecordEntry = EgressClaim | GroupClaim | ApexClaim | FreedPort;

/** Whether a port leads to one cluster. */
export function isClaim(entry: RecordEntry): entry is EgressClaim {
  return 'link' in entry;
}

/** Whether a port leads to all members of a federated Service. */
export function isGroupClaim(entry: RecordEntry): entry is GroupClaim {
  return !isFreed(entry) && entry.member === ANY_MEMBER;
}

/** Whether a port leads where a user's Service leads. */
export function isApexClaim(entry: RecordEntry): entry is ApexClaim {
  return !isFreed(entry) && entry.member === APEX_MEMBER;
}

export function isFreed(entry: RecordEntry): entry is FreedPort {
  return 'freed' in entry;
}

/** Who holds a port: a Service, or one cluster's place in a federated one. */
export function holderOf({ mirror, member }: Pick<EgressClaim, 'mirror' | 'member'>): string {
  return member === undefined ? mirror : `${mirror}@${member}`;
}

/** The shard of an egress port. */
export function shardOf(port: number): number {
  return port % EGRESS_SHARDS;
}

/** Name of a shard's ConfigMap. */
export function shardName(shard: number): string {
  return `${SHARD_PREFIX}${shard}`;
}

/** The shard that a ConfigMap is; undefined for any other name. */
export function shardOfName(name: string): number | undefined {
  const text = name.startsWith(SHARD_PREFIX) ? name.slice(SHARD_PREFIX.length) : '';
  const shard = Number(text);
  return String(shard) === text && shard < EGRESS_SHARDS ? shard : undefined;
}

/** The labels of a shard: by the one it is found, by the other it goes when Linkspan is uninstalled. */
const SHARD_LABELS = { [PART_OF_LABEL]: PART_OF, [RECORD_LABEL]: RECORD_VALUE };

/** Texts of ports, by number; null in a patch: the port is free. */
export type ShardData = Readonly<Record<string, string | null>>;

/** A shard that is not there yet. @param data what is free is left out */
export function newShard(namespace: string, shard: number, data: ShardData): V1ConfigMap {
  const taken = Object.entries(data).filter((entry): entry is [string, string] => entry[1] !== null);
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: shardName(shard), namespace, labels: SHARD_LABELS },
    data: Object.fromEntries(taken),
  };
}

/**
 * The merge patch that changes ports of a shard, bound to the version that was seen; its mark is put back.
 */
export function shardPatch({ metadata }: V1ConfigMap, data: ShardData): object {
  const { uid, resourceVersion } = metadata ?? {};
  return { metadata: { uid, resourceVersion, labels: { [RECORD_LABEL]: RECORD_VALUE } }, data };
}

/** An entry's text; equal entries are equal text. Undefined where it would be longer than an entry may be. */
export function writeEntry(entry: RecordEntry): string | undefined {
  const text = JSON.stringify(fieldsOf(entry));
  return text.length > MAX_ROUTE_LENGTH ? undefined : text;
}

/** Reads the entries of a shard. What is no port of that shard, too long or not complete is left out. */
export function readShard(
  shard: number,
  data: Readonly<Record<string, string>> | undefined,
): Map<number, RecordEntry> {
  const found = new Map<number, RecordEntry>();
  for (const [key, text] of Object.entries(data ?? {})) {
    const port = Number(key);
    const { first, last } = DEFAULT_EGRESS_RANGE;
    if (String(port) !== key || port < first || port > last || shardOf(port) !== shard) continue;
    const entry = readEntry(text);
    if (entry !== undefined) found.set(port, entry);
  }
  return found;
}

function fieldsOf(entry: RecordEntry): RecordEntry {
  if (isFreed(entry)) return freedFields(entry);
  if (isClaim(entry)) return claimFields(entry);
  const { mirror, port } = entry;
  return isApexClaim(entry) ? { mirror, member: APEX_MEMBER, port } : { mirror, member: ANY_MEMBER, port };
}

function claimFields(claim: EgressClaim): EgressClaim {
  const { gateway } = claim;
  return {
    ...holderFields(claim),
    export: claim.export,
    link: claim.link,
    cluster: claim.cluster,
    target: claim.target,
    ...(gateway === undefined
      ? {}
      : { gateway: gateway && { ...gateway, addresses: gateway.addresses.slice(0, MAX_ADDRESSES) } }),
  };
}

function freedFields(entry: FreedPort): FreedPort {
  return { ...holderFields(entry), freed: entry.freed };
}

function holderFields({
  mirror,
  member,
  port,
}: RecordEntry): Pick<EgressClaim, 'mirror' | 'member' | 'port'> {
  return { mirror, ...(member === undefined ? {} : { member }), port };
}

/** @returns undefined where the text is no entry */
export function readEntry(text: string): RecordEntry | undefined {
  if (text.length > MAX_ROUTE_LENGTH) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const fields = value as Readonly<Record<string, unknown>>;
  const { mirror, member, port, freed } = fields;
  if (!isText(mirror) || !isPort(port) || !(member === undefined || isText(member))) return undefined;
  const holder = { mirror, ...(member === undefined ? {} : { member }), port };
  if (typeof freed === 'number') return { ...holder, freed };
  return readOpenClaim(holder) ?? readClaim(holder, fields);
}

/** A claim that names no cluster; undefined: it has to. */
function readOpenClaim({
  mirror,
  member,
  port,
}: Pick<EgressClaim, 'mirror' | 'member' | 'port'>): GroupClaim | ApexClaim | undefined {
  if (member === APEX_MEMBER) return { mirror, member, port };
  return member === ANY_MEMBER ? { mirror, member, port } : undefined;
}

function readClaim(
  holder: Pick<EgressClaim, 'mirror' | 'member' | 'port'>,
  fields: Readonly<Record<string, unknown>>,
): EgressClaim | undefined {
  const { export: exported, link, cluster, target, gateway } = fields;
  if (!isText(exported) || !isText(link) || !isText(cluster) || !isText(target)) return undefined;
  const own = gateway === undefined || gateway === null ? gateway : readGateway(gateway);
  // The Link's gateway cannot stand in for another one that is unreadable: it may not serve this export.
  if (gateway !== undefined && own === undefined) return undefined;
  return {
    ...holder,
    export: exported,
    link,
    cluster,
    target,
    ...(own === undefined ? {} : { gateway: own }),
  };
}

/** A gateway as JSON has it; undefined where it is not complete. */
export function readGateway(value: unknown): RecordedGateway | undefined {
  const { addresses, port, identity } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (!Array.isArray(addresses) || !isPort(port) || !isText(identity)) return undefined;
  const hosts: unknown[] = addresses.slice(0, MAX_ADDRESSES);
  return hosts.length > 0 && hosts.every(isText) ? { addresses: hosts, port, identity } : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

import type { LinkConditionType, LinkReason } from '../api/link/link-status.ts';
import { mirrorReasons, type MirrorReason } from '../api/reasons/mirror-reasons.ts';
import type { FailureKind } from '../proxy/http/failures.ts';
import type { TrafficReason } from '../api/reasons/traffic-reasons.ts';
import { commandFor, type Place } from './card-commands.ts';
import type { ContextPicture } from './cluster-facts.ts';
import type { CardRow, LinkShown, ProcessRow, Tables } from './snapshot.ts';

/** Most cards: where everything fails, the first few say why. */
const MAX_CARDS = 200;
const FIRST_MIRRORS = 5;

/** Cards in the order of their weight: a cluster that is away explains what is below. */
const KINDS: readonly CardRow['kind'][] = [
  'cluster',
  'link',
  'gateway',
  'certificate',
  'process',
  'service',
  'mirror',
];

/** Reasons of mirrors that say what their Link, or its gateway, says too. */
const BY_LINK: ReadonlySet<string> = new Set<MirrorReason>([
  'GatewayDead',
  'GatewayUnknown',
  'GatewayUnresolved',
  'NoGateway',
  'ClusterLost',
  'NotSynced',
]);

/** How requests fail whose gateway is lost. */
const BY_GATEWAY: ReadonlySet<string> = new Set<FailureKind>([
  'connection failed',
  'connect timeout',
  'failfast',
]);
const CANNOT_REACH: LinkReason = 'EgressCannotReach';

/** What cards are made of. */
export interface FailingTables extends Pick<Tables, 'links' | 'mirrors' | 'processes' | 'services'> {
  /** Of a mirror, by its key: key of the Service over there, where that cluster was asked. */
  readonly exportOf: ReadonlyMap<string, string>;
  readonly reports: Tables['reports'];
}

/** A card while mirrors are counted in it. */
interface Card extends Omit<CardRow, 'firstMirrors' | 'mirrors' | 'since' | 'sinceBy'> {
  mirrors: number;
  readonly firstMirrors: string[];
  /** When it began, as the cluster says, milliseconds since the epoch. */
  readonly told: number | null;
}

/** When something was first seen to fail, and what it carried then. */
interface Seen {
  readonly at: number;
  readonly rps: number | null;
}

/**
 * What fails, a card for each cause: mirrors that fail with their Link are counted in its card, and a mirror
 * whose Service fails over there in that one's. It remembers since when it has seen each.
 */
export class NowCards {
  #seen: ReadonlyMap<string, Seen> = new Map();

  /** @param now milliseconds since the epoch */
  rows(pictures: readonly ContextPicture[], tables: FailingTables, now: number): Record<string, CardRow> {
    const seen = new Map<string, Seen>();
    const rows = cardsOf(pictures, tables).map(({ told, ...card }): [string, CardRow] => {
      const key = `${card.context}/${card.kind}/${card.namespace}/${card.name}`;
      const first = this.#seen.get(key) ?? { at: now, rps: card.rps };
      seen.set(key, first);
      const when = { since: told ?? first.at, sinceBy: told === null ? 'seen' : 'told' } as const;
      return [key, { ...card, ...when, rps: card.rps ?? first.rps }];
    });
    this.#seen = seen;
    return Object.fromEntries(rows);
  }
}

type PlaceOf = (context: string) => Place;

function cardsOf(pictures: readonly ContextPicture[], tables: FailingTables): Card[] {
  const places = new Map(pictures.map((one) => [one.context, one]));
  const placeOf: PlaceOf = (context) => places.get(context) ?? { context, namespace: '' };
  const causes = causesOf(pictures, tables, placeOf);
  const own = mirrorCards(causes, tables, placeOf);
  const weight = ({ kind }: Card) => KINDS.indexOf(kind);
  return [...causes.values(), ...own]
    .sort((a, b) => weight(a) - weight(b) || (b.rps ?? 0) - (a.rps ?? 0))
    .slice(0, MAX_CARDS);
}

/** What mirrors may fail with, by what they find it by. */
function causesOf(
  pictures: readonly ContextPicture[],
  { links, mirrors, processes, services }: FailingTables,
  placeOf: PlaceOf,
): Map<string, Card> {
  const causes = new Map<string, Card>();
  for (const picture of pictures) addTo(causes, clusterCard(picture));
  const failing = Object.values(mirrors).filter((one) => one.failing);
  const failingTo = new Set(failing.map(toKey));
  for (const link of Object.values(links)) {
    const isCause = link.failing && !(failsByRequests(link) && failingTo.has(toKey(link)));
    const place = placeOf(link.context);
    addTo(causes, ...(isCause ? [linkCard(link, place)] : addressCards(link, place)));
  }
  for (const one of Object.values(processes)) addTo(causes, processCard(one, placeOf(one.context)));
  for (const [key, one] of Object.entries(services))
    if (one.failing) causes.set(key, serviceCard(one, 'service', placeOf(one.context)));
  return causes;
}

/** Cards of mirrors that fail for themselves; the others are counted in what they fail with. */
function mirrorCards(causes: ReadonlyMap<string, Card>, tables: FailingTables, placeOf: PlaceOf): Card[] {
  const told = sinceByMirror(tables);
  const own: Card[] = [];
  for (const [key, one] of Object.entries(tables.mirrors)) {
    if (!one.failing) continue;
    const link = causes.get(linkKey(one.context, one.cluster));
    const isOfLink = BY_LINK.has(one.reason) || (link?.kind === 'gateway' && BY_GATEWAY.has(one.reason));
    const cause = causes.get(tables.exportOf.get(key) ?? '') ?? (isOfLink ? link : undefined);
    const name = `${one.namespace}/${one.name}`;
    const since = told.get(`${one.context}/${one.reason}/${name}`) ?? null;
    if (cause !== undefined) countIn(cause, name);
    else own.push({ ...serviceCard(one, 'mirror', placeOf(one.context)), told: since });
  }
  return own;
}

function addTo(causes: Map<string, Card>, ...cards: readonly (Card | undefined)[]): void {
  for (const card of cards) {
    if (card === undefined) continue;
    const isOfLink = card.kind === 'link' || (card.kind === 'gateway' && card.name === card.to);
    const key = isOfLink
      ? linkKey(card.context, card.to ?? '')
      : `${card.context}\n${card.kind}\n${card.name}`;
    if (!causes.has(key)) causes.set(key, card);
  }
}

/** Whether nothing is wrong with a Link but what its mirrors carry, which have cards of their own. */
function failsByRequests({ reason, conditions }: LinkShown): boolean {
  return reason !== CANNOT_REACH && !conditions.some((one) => one.reason === reason);
}

function toKey({ context, cluster }: { readonly context: string; readonly cluster: string }): string {
  return `${context}\n${cluster}`;
}

/** By what mirrors find what they fail with. */
function linkKey(context: string, cluster: string): string {
  return `${context}\nlink\n${cluster}`;
}

function countIn(card: Card, name: string): void {
  card.mirrors++;
  if (card.firstMirrors.length < FIRST_MIRRORS) card.firstMirrors.push(name);
}

const noMirrors = (): Pick<Card, 'firstMirrors' | 'mirrors'> => ({ mirrors: 0, firstMirrors: [] });

function clusterCard(picture: ContextPicture): Card | undefined {
  const { context, state, error, facts, at } = picture;
  if (error === null || state === 'ok' || state === 'partial') return undefined;
  const { code, message, advice } = error;
  const known = state === 'absent' || state === 'forbidden' ? state : 'unreachable';
  const name = facts?.reading.cluster ?? context;
  const of = { context, kind: 'cluster', cluster: name, namespace: '', name, to: null } as const;
  const words = { reason: code, message, advice, command: commandFor[known](picture) };
  return { ...of, ...words, ...noMirrors(), rps: null, told: at };
}

/** Single addresses of a gateway that are dead where others live. */
function addressCards({ context, source = '', cluster, probes }: LinkShown, place: Place): Card[] {
  const dead = (probes ?? []).filter(({ state }) => state === 'dead');
  return dead.map((probe) => ({
    context,
    kind: 'gateway',
    cluster: source,
    namespace: '',
    name: probe.address,
    to: cluster,
    reason: probe.reason ?? ('GatewayDead' satisfies MirrorReason),
    message: probe.message,
    advice: '',
    command: commandFor.gateway(place),
    ...noMirrors(),
    rps: null,
    told: probe.since,
  }));
}

function linkCard(link: LinkShown, place: Place): Card {
  const { context, source = '', name, cluster, reason, message, advice, rps } = link;
  const condition = link.conditions.find((one) => one.status === 'False' && one.reason === reason);
  const isGateway =
    condition?.type === ('GatewayAlive' satisfies LinkConditionType) || reason === CANNOT_REACH;
  return {
    context,
    kind: isGateway ? 'gateway' : 'link',
    cluster: source,
    namespace: '',
    name: isGateway ? cluster : name,
    to: cluster,
    reason,
    message,
    advice,
    command: isGateway ? commandFor.gateway(place) : commandFor.link(place, name),
    ...noMirrors(),
    rps,
    told: timeOf(condition?.since),
  };
}

/** Milliseconds since the epoch; null: there is none, or it is no time. */
function timeOf(text: string | null | undefined): number | null {
  const at = Date.parse(text ?? '');
  return Number.isFinite(at) ? at : null;
}

function processCard(row: ProcessRow, place: Place): Card | undefined {
  if (!row.failing) return undefined;
  const { context, cluster, name, reason, message, advice, requests_rps: rps } = row;
  const isCertificate = reason === ('CertificateExpiring' satisfies TrafficReason);
  const isSilent = reason === ('ProcessSilent' satisfies TrafficReason);
  const command = isCertificate
    ? commandFor.certificate(place)
    : isSilent
      ? commandFor.silent(place, name)
      : commandFor.process(place);
  const kind = isCertificate ? 'certificate' : 'process';
  const words = { reason, message, advice, command };
  return { context, kind, cluster, namespace: '', name, to: null, ...words, ...noMirrors(), rps, told: null };
}

function serviceCard(
  row: Tables['services' | 'mirrors'][string],
  kind: 'mirror' | 'service',
  place: Place,
): Card {
  const { context, namespace, name, source, reason, message, advice, rps } = row;
  // What controllers say of a mirror they explain; of requests one looks at those that fail.
  const command = Object.hasOwn(mirrorReasons, reason)
    ? commandFor.mirror(place, namespace, name)
    : commandFor.requests(place, namespace, name);
  return {
    context,
    kind,
    cluster: source ?? row.cluster,
    namespace,
    name,
    to: kind === 'mirror' ? row.cluster : null,
    reason,
    message,
    advice,
    command,
    ...noMirrors(),
    rps,
    told: null,
  };
}

/** Since when mirrors fail as controllers say, by context, reason and name. */
function sinceByMirror({ reports }: FailingTables): Map<string, number> {
  const found = new Map<string, number>();
  for (const { context, reason, service, local, since, failing } of Object.values(reports)) {
    if (!failing) continue;
    const at = timeOf(since);
    if (at !== null) found.set(`${context}/${reason}/${service.split('/')[0] ?? ''}/${local}`, at);
  }
  return found;
}

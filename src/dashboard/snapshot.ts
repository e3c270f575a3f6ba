import type { AddressReport } from '../api/answers/admin-answers.ts';
import type { GatewayStats } from '../api/answers/stats-report.ts';
import type { Condition } from '../api/link/link-status.ts';
import type { EdgeRow } from '../traffic/edge-rows.ts';
import type { ProxyRow } from '../traffic/proxy-rows.ts';
import type { RouteRow } from '../traffic/route-rows.ts';
import type { StatRow } from '../traffic/stat-row.ts';
import type { SignalFields } from '../traffic/tally.ts';
import type { ToldVerdict } from '../traffic/traffic-verdict.ts';

/**
 * How a cluster is known now.
 * - `loading`: nothing was heard of it yet;
 * - `ok`: everybody who was asked has answered;
 * - `partial`: some pod has not answered, or something could not be read;
 * - `stale`: what is shown is older than `STALE_MS`, and no reason is known yet;
 * - `unreachable`: its API server does not answer, or the kubeconfig does not lead to one;
 * - `forbidden`: it answers, and the user may not ask: `role` is what is missing;
 * - `absent`: there is no installation: no controller, gateway or egress.
 * What was read last stays in all of them, with its `at`.
 */
export type ContextState = 'loading' | 'ok' | 'partial' | 'stale' | 'unreachable' | 'forbidden' | 'absent';

/** A picture is old when it has not been renewed for so long, milliseconds. */
export const STALE_MS = 10_000;

/** A cluster that is asked. */
export interface ContextRow {
  /** Context of the kubeconfig; `this cluster` where none was named. */
  readonly context: string;
  /** As Links call it, as far as that is known; else the context. */
  readonly cluster: string;
  /** Of the installation. */
  readonly namespace: string;
  readonly state: ContextState;
  /** When what is shown of it was read, milliseconds since the epoch; null: never. */
  readonly at: number | null;
  /** Why it is not newer; null: it is new. */
  readonly error: ErrorWords | null;
  /** `forbidden`: the ClusterRole that has the rights. */
  readonly role: string | null;
  /** Controllers: whether any holds Links; `unknown`: that could not be asked. */
  readonly controller: 'ok' | 'absent' | 'silent' | 'unknown';
  /** Gateways and egresses that were asked, and that answered. */
  readonly asked: number;
  readonly answered: number;
  /** Pods that did not answer, and what could not be read, one line each. */
  readonly unread: readonly string[];
  readonly links: number;
  /** Whether anything has passed in the window. */
  readonly traffic: boolean;
}

export interface ErrorWords {
  /** Code of the catalogue (`linkspan explain error`). */
  readonly code: string;
  readonly message: string;
  /** What to do. */
  readonly advice: string;
}

/** Of which context a row is: with `contexts` one knows how old it is. */
interface OfContext {
  readonly context: string;
}

/** Every row of a table of signals has the same window and sources: they stand in `contexts`. */
type Shown<T> = Omit<T, 'from' | 'window_s'> & OfContext;

/** Something that fails, for *Now*. */
export interface CardRow extends OfContext {
  readonly kind: 'cluster' | 'link' | 'gateway' | 'mirror' | 'service' | 'process' | 'certificate';
  readonly cluster: string;
  readonly namespace: string;
  readonly name: string;
  /** Of a link, a gateway, a mirror: the cluster that it leads to. */
  readonly to: string | null;
  readonly reason: string;
  readonly message: string;
  readonly advice: string;
  /** What to type; the page copies it. */
  readonly command: string;
  /** Milliseconds since the epoch; null: not known. */
  readonly since: number | null;
  /** `told`: by the cluster; `seen`: since this program has seen it, it may be longer. */
  readonly sinceBy: 'told' | 'seen';
  /** Mirrors that serve nobody, or worse, by it: how many, and the first few (`namespace/name`). */
  readonly mirrors: number;
  readonly firstMirrors: readonly string[];
  /** Requests each second that it has, or had when it failed. */
  readonly rps: number | null;
}

/** Golden signals of all that one end of a context has counted; of context `` of all contexts. */
export interface SignalsRow extends SignalFields, OfContext {
  readonly side: 'egress' | 'gateway';
}

/** A cluster on the map. */
export interface NodeRow {
  readonly cluster: string;
  /** Of the kubeconfig; null: it is known by Links only, and was not asked. */
  readonly context: string | null;
  readonly failing: boolean;
  readonly reason: string;
  readonly message: string;
  /** How much there is of each; null where nobody was asked. */
  readonly clients: number | null;
  readonly egresses: number | null;
  readonly gateways: number | null;
  readonly services: number | null;
  /** What its egresses send, and what its gateways get. */
  readonly out_rps: number | null;
  readonly in_rps: number | null;
}

/** A Link on the map, from the cluster that has it to the one that it names. */
export interface MapEdgeRow extends OfContext, ToldVerdict {
  readonly link: string;
  /** `cluster` of nodes. */
  readonly source: string;
  readonly target: string;
  readonly rps: number | null;
  readonly success: number | null;
  readonly latency_ms_p99: number | null;
  readonly rtt_ms: number | null;
  readonly streams: number | null;
  readonly mirrors: number | null;
}

/** What one egress pod has to one address of a gateway. */
export interface TrunkRow
  extends Pick<GatewayStats, 'address' | 'state' | 'mode' | 'connections' | 'streams' | 'identity'> {
  readonly pod: string;
  readonly rps: number;
  readonly success: number | null;
  readonly rtt_ms: number | null;
  readonly least_rtt_ms: number | null;
}

/** A condition, in the order of `LINK_CONDITIONS`; `Unknown` before it was first written. */
export interface ConditionShown extends Pick<Condition, 'type' | 'status' | 'reason' | 'message'> {
  readonly advice: string;
  /** RFC 3339: when its status changed last; null: never. */
  readonly since: string | null;
}

/** A Link with all that is known of it. The signals are those of its egress. */
export interface LinkShown extends Shown<StatRow> {
  /** `spec.gatewayAddress`. */
  readonly address: string;
  readonly conditions: readonly ConditionShown[];
  /** As controllers probe them; null: no controller says it. */
  readonly probes: readonly AddressReport[] | null;
  readonly trunks: readonly TrunkRow[];
  /** RFC 3339; null: never, or nobody says it. */
  readonly credentialsExpireAt: string | null;
  /** When the target's API server was last heard, milliseconds since the epoch. */
  readonly lastWordAt: number | null;
  readonly keptBy: string | null;
  readonly importPolicy: Readonly<Record<string, string>>;
  readonly unwritten: readonly string[];
  /** Exports by what became of them: how many of each reason. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** A Service of a linked cluster, and what became of it. */
export interface ReportRow extends OfContext {
  readonly link: string;
  /** That it is of. */
  readonly cluster: string;
  /** `namespace/name` there, and the name here. */
  readonly service: string;
  readonly local: string;
  readonly mode: string;
  /** Whether it is a member of a federated Service. */
  readonly federated: boolean;
  readonly reason: string;
  readonly message: string;
  readonly advice: string;
  /** Whether that is as it should not be. */
  readonly failing: boolean;
  readonly since: string;
  readonly endpoints: number;
  /** What of the export the import policy left out. */
  readonly leftOut: readonly string[];
}

/** A pod. Signals are null of those that carry nothing. */
export interface ProcessRow
  extends ProxyRow,
    OfContext,
    Pick<SignalFields, 'success' | 'latency_ms_p99' | 'in_flight'> {
  readonly requests_rps: number | null;
  readonly cpu: string | null;
  readonly memory: string | null;
}

/** The last 30 minutes, from what processes keep. All arrays are of one length, the oldest first. */
export interface SparkRow extends OfContext {
  /** `service` and `mirror` by namespace and name, `link` by its cluster, `all` of the side. */
  readonly kind: 'all' | 'link' | 'mirror' | 'service';
  readonly side: 'egress' | 'gateway';
  readonly namespace: string;
  readonly name: string;
  /** Ends of the steps, seconds since the epoch (as uPlot has them). */
  readonly at: readonly number[];
  readonly rps: readonly (number | null)[];
  readonly success: readonly (number | null)[];
  /** Of the busiest of what is added up; null: nothing was answered. */
  readonly p99: readonly (number | null)[];
}

/** What does not change while the program runs. */
export interface Meta {
  readonly v: 1;
  /** Of this program. */
  readonly version: string;
  readonly startedAt: number;
  /** What numbers are of, milliseconds. */
  readonly windowMs: number;
  /** How often is asked, milliseconds. */
  readonly everyMs: number;
  /** History beyond 30 minutes: where it comes from; null: there is none, and no time is chosen. */
  readonly prometheus: string | null;
  /** Where nothing is linked: what to type, in this order. */
  readonly firstCommands: readonly string[];
}

/** Rows by a key that stays as long as the thing does. */
export type Table<T> = Readonly<Record<string, T>>;

/**
 * All that the page shows but *Live*, *Reasons* and history. Each table is also `/api/<table>.json`. Rows are
 * those of the verbs (`stat`, `edges`, `routes`, `proxies` with `-o json`), without what is the same in all.
 */
export interface Tables {
  readonly contexts: Table<ContextRow>;
  readonly cards: Table<CardRow>;
  readonly signals: Table<SignalsRow>;
  readonly nodes: Table<NodeRow>;
  readonly mapEdges: Table<MapEdgeRow>;
  readonly links: Table<LinkShown>;
  /** Exports, and what has several clusters; `side` tells which end has counted. */
  readonly services: Table<Shown<StatRow> & { readonly exported: boolean }>;
  /** What leads to one other cluster; `source` has it, `cluster` is where it leads, `ends` are both. */
  readonly mirrors: Table<Shown<StatRow>>;
  readonly reports: Table<ReportRow>;
  readonly edges: Table<Shown<EdgeRow>>;
  readonly routes: Table<Shown<RouteRow>>;
  readonly clients: Table<Shown<StatRow>>;
  readonly processes: Table<ProcessRow>;
  readonly sparks: Table<SparkRow>;
}

export type TableName = keyof Tables;

/** In this order they are told. */
export const TABLES: readonly TableName[] = [
  'contexts',
  'cards',
  'signals',
  'nodes',
  'mapEdges',
  'links',
  'services',
  'mirrors',
  'reports',
  'edges',
  'routes',
  'clients',
  'processes',
  'sparks',
];

/** Before anything is known. */
export function emptyTables(): Tables {
  return Object.fromEntries(TABLES.map((name) => [name, {}])) as unknown as Tables;
}

/** `event: snapshot` of `/events`: everything. */
export interface SnapshotEvent {
  /** Clock of the program, milliseconds since the epoch: ages are by it. */
  readonly at: number;
  readonly meta: Meta;
  readonly tables: Tables;
}

/** What has changed in one table. */
export interface TableChange<T> {
  readonly set?: Table<T>;
  readonly gone?: readonly string[];
}

/** `event: delta` of `/events`: what has changed since the id before it. */
export interface DeltaEvent {
  readonly at: number;
  readonly changes: { readonly [K in TableName]?: TableChange<Tables[K][string]> };
}

/** Tables with what has changed; tables and rows that have not are the same objects. */
export function applyDelta(tables: Tables, { changes }: Pick<DeltaEvent, 'changes'>): Tables {
  const next: Record<string, Table<unknown>> = { ...tables };
  for (const name of TABLES) {
    const change = changes[name];
    if (change === undefined) continue;
    next[name] = changed(tables[name], change);
  }
  return next as unknown as Tables;
}

/**
 * Where every row is new, what came is the table: copying a thousand of them costs a browser a millisecond.
 */
function changed(table: Table<unknown>, { set = {}, gone = [] }: TableChange<unknown>): Table<unknown> {
  if (gone.length === 0 && Object.keys(table).every((key) => Object.hasOwn(set, key))) return set;
  const next: Record<string, unknown> = { ...table, ...set };
  for (const key of gone) delete next[key];
  return next;
}

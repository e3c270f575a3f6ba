import { batch, computed, type ReadonlySignal, type Signal, signal } from '@preact/signals';
import {
  applyDelta,
  type ContextRow,
  type DeltaEvent,
  emptyTables,
  type Meta,
  type SnapshotEvent,
  STALE_MS,
  type TableName,
  TABLES,
  type Tables,
} from '../snapshot.ts';

/** What the page knows: a signal for each table, so that a change redraws what shows that table only. */

type TableSignals = { readonly [K in TableName]: Signal<Tables[K]> };

let whole = emptyTables();

/** Every table, as it is now. */
export const tables = Object.fromEntries(
  TABLES.map((name) => [name, signal(whole[name])]),
) as unknown as TableSignals;

/** What does not change; undefined: nothing was heard yet. */
export const meta = signal<Meta | undefined>(undefined);

/** Whether the program that the page is from answers. */
export const connection = signal<'connecting' | 'lost' | 'open' | 'refused'>('connecting');

/** Its clock, once a second: ages are by it, whatever the clock of the browser says. */
export const now = signal(Date.now());

let ahead = 0;

/** Everything anew. */
export function takeSnapshot({ at, meta: said, tables: all }: SnapshotEvent): void {
  batch(() => {
    heard(at);
    meta.value = said;
    put({ ...emptyTables(), ...all });
  });
}

/** What has changed. */
export function takeDelta({ at, changes }: DeltaEvent): void {
  batch(() => {
    heard(at);
    put(applyDelta(whole, { changes }));
  });
}

function put(next: Tables): void {
  whole = next;
  for (const name of TABLES) (tables[name] as Signal<unknown>).value = next[name];
}

/** It is there. @param at its clock, milliseconds since the epoch */
export function heard(at: number): void {
  ahead = at - Date.now();
  connection.value = 'open';
  now.value = at;
}

/** The next second. */
export function tick(): void {
  now.value = Date.now() + ahead;
}

/** The clusters that are asked, by context. */
export const contexts: ReadonlySignal<readonly ContextRow[]> = computed(() =>
  Object.values(tables.contexts.value).toSorted((a, b) => (a.cluster < b.cluster ? -1 : 1)),
);

/** What a cluster is called, by its context. */
export function clusterOf(context: string): string {
  return tables.contexts.value[context]?.cluster ?? context;
}

/** How a context is known, with what is too old by the clock alone: the program itself may be silent. */
export function stateOf(row: ContextRow): ContextRow['state'] {
  const isAnswering = row.state === 'ok' || row.state === 'partial';
  return isAnswering && row.at !== null && now.value - row.at > STALE_MS ? 'stale' : row.state;
}

/** In words, so that a second that changes nothing draws nothing. */
const oldWords = computed(() => {
  const old = contexts.value.filter((row) => row.at !== null && !NEW.has(stateOf(row)));
  return JSON.stringify(old.map(({ context }) => context));
});

/** Contexts of which an old picture is shown: it is greyed. */
export const oldContexts: ReadonlySignal<ReadonlySet<string>> = computed(
  () => new Set(JSON.parse(oldWords.value) as string[]),
);

/** Whether a row is of one of them. */
export function isOldRow({ context }: { readonly context: string }): boolean {
  return oldContexts.value.has(context);
}

/** Whether a row is shown as one that fails. */
export function isFailingRow({ failing }: { readonly failing: boolean }): boolean {
  return failing;
}

const NEW: ReadonlySet<string> = new Set(['ok', 'partial', 'loading']);

/** Tables of which a row says that something is linked, from either side. */
const OF_LINKED = ['links', 'mirrors', 'services', 'edges'] as const;

/** Whether anything is linked at all. */
export const hasLinks: ReadonlySignal<boolean> = computed(() =>
  OF_LINKED.some((name) => Object.keys(tables[name].value).length > 0),
);

/** Whether every cluster was asked once, however it went. */
export const isLoaded: ReadonlySignal<boolean> = computed(
  () => meta.value !== undefined && contexts.value.every(({ state }) => state !== 'loading'),
);

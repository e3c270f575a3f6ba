import { describeError } from '../../api/errors/linkspan-error.ts';
import { systemClock } from '../../base/clock.ts';
import type { ClusterReading } from '../../traffic/cluster-reading.ts';
import { inOrder } from '../../traffic/stat-row.ts';
import type { ToldVerdict } from '../../traffic/traffic-verdict.ts';
import { adviceFor } from '../output/failure-advice.ts';
import { jsonText, render } from '../output/output.ts';
import { ClusterReads, type OpenCluster } from './cluster-reads.ts';
import { openContexts } from './open-clusters.ts';
import { Screen } from './screen.ts';
import type { TrafficFlags } from './view-flags.ts';
import { TrafficReader } from './traffic-reader.ts';
import type { Wanted } from './traffic-surroundings.ts';

/** Exit codes beside those of `main.ts`. */
const PARTIAL = 3;
const FAILING = 4;
/** It says nothing of those who did not answer. */
const NOTHING_FAILS = 'Nothing fails of what was heard.\n';

/** What rows of every view have. */
interface ViewRow extends Omit<ToldVerdict, 'message'> {
  readonly rps: number | null;
}

/** One verb: what it reads, and how that is shown. */
export interface TrafficView<T extends ViewRow> {
  readonly wanted: Omit<Wanted, 'namespace'>;
  readonly rows: (readings: readonly ClusterReading[]) => readonly T[];
  /** By which rows that are equal are ordered. */
  readonly nameOf: (row: T) => string;
  /** For people; `several`: more than one cluster was asked. */
  readonly text: (rows: readonly T[], how: { readonly wide: boolean; readonly several: boolean }) => string;
  /** What `-n` is compared with; undefined: the row is of no namespace, and always shown. */
  readonly namespaceOf: (row: T) => readonly string[] | undefined;
  /** What was asked for by name and is not there, of all rows; default: nothing was. */
  readonly missing?: (rows: readonly T[]) => readonly string[];
  /** What is to be said on stderr besides. */
  readonly notes?: (readings: readonly ClusterReading[]) => readonly string[];
}

/**
 * Asks and shows, once or until somebody ends it.
 * @throws LinkspanError when nothing could be asked
 */
export async function showTraffic<T extends ViewRow>(
  flags: TrafficFlags,
  view: TrafficView<T>,
): Promise<void> {
  const clusters = openClusters(flags, { ...view.wanted, namespace: flags.namespace });
  const reads = readsOf(clusters, flags.timeout, flags.watch !== undefined);
  const screen = new Screen(process.stdout, flags.watch);
  let rows: readonly T[] | undefined;
  try {
    do {
      let notes: readonly string[];
      let isPartial = true;
      try {
        const read = await Promise.race([reads.next(), screen.ended]);
        if (read === undefined) break;
        rows = shownRows(view, read.readings, flags);
        const missing = view.missing?.(view.rows(read.readings)) ?? [];
        notes = [...read.unread, ...missing, ...(view.notes?.(read.readings) ?? [])];
        // Whoever has a script look at a name that is wrong must not hear that nothing fails.
        isPartial = read.isPartial || missing.length > 0;
      } catch (error) {
        if (rows === undefined) throw error;
        // What was seen last stays, with why there is nothing newer.
        notes = [describeError(error)];
      }
      await screen.show(textOf(view, rows, flags), notes);
      process.exitCode = exitCode(rows, isPartial, flags);
    } while (await screen.next());
  } finally {
    screen.close();
    await closeAll(clusters);
  }
}

/** How they are asked. @param live whether again and again */
export function readsOf(clusters: readonly OpenCluster[], timeoutMs: number, live: boolean): ClusterReads {
  return new ClusterReads(clusters, { clock: systemClock, timeoutMs, live });
}

/** Ends their connections. */
export async function closeAll(clusters: readonly OpenCluster[]): Promise<void> {
  await Promise.all(clusters.map(({ client }) => client.close()));
}

/** A reader for each cluster that the flags name; to be closed. */
export function openClusters(flags: TrafficFlags, wanted: Wanted): OpenCluster[] {
  const { window: windowMs, timeout: timeoutMs, controllerNamespace: namespace } = flags;
  const options = { clock: systemClock, windowMs, timeoutMs, wanted };
  return openContexts(flags).map((one) => ({
    ...one,
    reader: new TrafficReader({ ...one, namespace }, options),
  }));
}

/** Rows with what to do about each, as the flags want them. */
export function shownRows<T extends ViewRow>(
  view: TrafficView<T>,
  readings: readonly ClusterReading[],
  flags: Pick<TrafficFlags, 'failing' | 'limit' | 'namespace' | 'sort'>,
): T[] {
  const { namespace, failing, limit, sort } = flags;
  const own = view
    .rows(readings)
    .filter((row) => namespace === undefined || (view.namespaceOf(row) ?? [namespace]).includes(namespace))
    .filter((row) => !failing || row.failing);
  const advised = own.map((row) => ({ ...row, advice: row.failing ? adviceFor(row.reason) : row.advice }));
  return inOrder(advised, sort, view.nameOf).slice(0, limit);
}

function textOf<T extends ViewRow>(view: TrafficView<T>, rows: readonly T[], flags: TrafficFlags): string {
  const { output, watch, context, failing } = flags;
  const how = { wide: output === 'wide', several: context.length > 1 };
  // In live mode one line for each reading, for programs that read line by line.
  if (output === 'json' && watch !== undefined) return jsonText(rows);
  const text = render(output === 'wide' ? 'table' : output, rows, () =>
    failing && rows.length === 0 ? NOTHING_FAILS : view.text(rows, how),
  );
  return output === 'yaml' && watch !== undefined ? `---\n${text}` : text;
}

function exitCode(rows: readonly ViewRow[], isPartial: boolean, flags: TrafficFlags): number {
  if (flags.failing && flags.exitCode && rows.some(({ failing }) => failing)) return FAILING;
  return isPartial ? PARTIAL : 0;
}

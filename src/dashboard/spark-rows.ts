import type { StatsPoint, TargetStats } from '../api/answers/stats-report.ts';
import { answersOf, type ClusterReading } from '../traffic/cluster-reading.ts';
import { targetName } from '../traffic/service-rows.ts';
import { rounded } from '../traffic/tally.ts';
import type { ClusterFacts, RecentPoints } from './cluster-facts.ts';
import type { SparkRow, Table } from './snapshot.ts';

/** Length of a step, milliseconds, and how many there are. */
const STEP_MS = 60_000;
const STEPS = 30;

/** What was counted in one step of something. */
interface Cell {
  rps: number;
  ended: number;
  failed: number;
  /** Of the busiest part, and how busy that is. */
  p99: number | undefined;
  p99Of: number;
}

type Point = StatsPoint['targets'][number];
type Named = Pick<SparkRow, 'kind' | 'name' | 'namespace'>;

/**
 * The last half hour in steps of a minute, of everything that was asked for in it. A minute of which a
 * process has said only a part is shown by the rate of that part.
 * @param now milliseconds since the epoch
 */
export function sparkRows(
  context: string,
  { reading, recent }: Pick<ClusterFacts, 'reading' | 'recent'>,
  now: number,
): Table<SparkRow> {
  const first = Math.floor(now / STEP_MS) - STEPS + 1;
  const sparks = new Map<
    string,
    { readonly of: Omit<SparkRow, Columns>; readonly cells: (Cell | undefined)[] }
  >();
  const cellOf = (side: 'egress' | 'gateway', named: Named, step: number): Cell => {
    const key = `${context}/${side}/${named.kind}/${named.namespace}/${named.name}`;
    const known = sparks.get(key) ?? { of: { ...named, context, side }, cells: [] };
    sparks.set(key, known);
    return (known.cells[step] ??= { rps: 0, ended: 0, failed: 0, p99: undefined, p99Of: -1 });
  };
  for (const one of recent) {
    const names = new Names(reading, one.side);
    for (const [step, { ms, points }] of stepsOf(one, first))
      for (const point of points)
        for (const named of names.of(point.label)) add(cellOf(one.side, named, step), point, ms);
  }
  const at = Array.from({ length: STEPS }, (_, step) => ((first + step + 1) * STEP_MS) / 1000);
  return Object.fromEntries(
    [...sparks].map(([key, { of, cells }]) => [key, { ...of, at, ...columnsOf(cells) }]),
  );
}

type Columns = 'at' | 'p99' | 'rps' | 'success';

/** Points by the minute in which they ended, with how much of it they are. */
function stepsOf({ points }: RecentPoints, first: number): Map<number, { ms: number; points: Point[] }> {
  const found = new Map<number, { ms: number; points: Point[] }>();
  for (const { at, ms, targets } of points) {
    // One that has ended with the minute is of the minute.
    const step = Math.ceil(at / STEP_MS) - 1 - first;
    if (step < 0 || step >= STEPS) continue;
    const known = found.get(step) ?? { ms: 0, points: [] };
    known.ms += ms;
    known.points.push(...targets);
    found.set(step, known);
  }
  return found;
}

function add(cell: Cell, point: Point, ms: number): void {
  const failed = Math.max(point.failures, 0);
  cell.rps += point.requests / (Math.max(1, ms) / 1000);
  cell.ended += Math.max(point.responses, failed);
  cell.failed += failed;
  if (point.p99Ms === undefined || point.requests <= cell.p99Of) return;
  cell.p99 = point.p99Ms;
  cell.p99Of = point.requests;
}

function columnsOf(cells: readonly (Cell | undefined)[]): Omit<Pick<SparkRow, Columns>, 'at'> {
  const steps = Array.from({ length: STEPS }, (_, step) => cells[step]);
  return {
    rps: steps.map((cell) => rounded(cell?.rps)),
    success: steps.map((cell) =>
      cell === undefined || cell.ended === 0 ? null : rounded(1 - cell.failed / cell.ended, 1e6),
    ),
    p99: steps.map((cell) => rounded(cell?.p99)),
  };
}

/** What a target of a process counts for. */
class Names {
  readonly #targets: ReadonlyMap<string, TargetStats>;
  readonly #side: 'egress' | 'gateway';
  readonly #known = new Map<string, readonly Named[]>();

  constructor(reading: ClusterReading, side: 'egress' | 'gateway') {
    this.#side = side;
    this.#targets = new Map(
      answersOf(reading, side).flatMap(({ window }) =>
        window.report.targets.map((target) => [target.label, target] as const),
      ),
    );
  }

  of(label: string): readonly Named[] {
    const known = this.#known.get(label) ?? this.#read(label);
    this.#known.set(label, known);
    return known;
  }

  #read(label: string): readonly Named[] {
    const target = this.#targets.get(label);
    // Members are counted in what has them, too.
    const all: readonly Named[] = label.includes('@') ? [] : [{ kind: 'all', namespace: '', name: '' }];
    if (target === undefined) return all;
    const there = target.there?.cluster;
    const link: readonly Named[] = there === undefined ? [] : [{ kind: 'link', namespace: '', name: there }];
    const kind = there === undefined ? 'service' : 'mirror';
    return [...all, { kind, ...targetName(target, this.#side) }, ...link];
  }
}

import {
  STATS_WINDOWS,
  type StatsPoint,
  type StatsReport,
  type StatsWindow,
} from '../../../api/answers/stats-report.ts';
import type { Clock, Timer } from '../../../base/clock.ts';
import { BadQuery } from '../../../telemetry/admin-pages.ts';
import { Turns } from '../../../telemetry/pieces.ts';
import { NO_ROWS, type PackedRows } from './packed-rows.ts';
import { FieldNames, type RowShape } from './row-shapes.ts';
import { advance } from './row-table.ts';
import {
  byKind,
  type ByKind,
  fittedStep,
  type Kind,
  longStep,
  type Rows,
  SHAPES,
  type Step,
  stepSize,
  type Tables,
  tablesOf,
} from './step.ts';
import { pointOf, windowRows } from './window.ts';

/** Length of a step, milliseconds, and how many are kept. */
const STEP_MS = 10_000;
const STEPS = 12;
/** How many steps make one of the long ones, and how many of those are kept. */
const LONG = 6;
const LONG_STEPS = 30;
/** Default of `RecentOptions.maxBytes`. */
const MAX_BYTES = 8 * 1024 * 1024;

/** What had been counted when the last step ended (monotonic milliseconds). */
interface Reached {
  readonly to: number;
  readonly totals: ByKind<PackedRows>;
}

/** What is remembered, and of what. */
export interface RecentOptions {
  readonly clock: Clock;
  /** All that has been counted since the start. */
  read(): Promise<StatsReport>;
  /** Told what `read` throws; what was counted meanwhile is part of the next step. */
  readonly onError: (error: unknown) => void;
  /** Most bytes that all of it takes; default 8 MiB. */
  readonly maxBytes?: number;
}

/**
 * The last half hour of what a process has counted: two minutes in steps of ten seconds, thirty in steps of a
 * minute. A step has only what has changed, and where all are more than there is room for, the least busy
 * rows of the largest steps go together into one, so that sums stay right.
 *
 * Steps are made in turns of the event loop. With workers the parent has it, which carries no traffic.
 */
export class Recent {
  readonly #options: RecentOptions;
  readonly #names = new FieldNames();
  readonly #startedAt: number;
  /** Oldest first. */
  #steps: readonly Step[] = [];
  #long: readonly Step[] = [];
  #number = 0;
  #reached: Reached;
  #timer: Timer | undefined;

  constructor(options: RecentOptions) {
    this.#options = options;
    this.#startedAt = options.clock.monotonic();
    const totals = { targets: NO_ROWS, flows: NO_ROWS, gateways: NO_ROWS, routes: NO_ROWS };
    this.#reached = { to: this.#startedAt, totals };
    this.#wait(STEP_MS);
  }

  /** Bytes that it takes. */
  get size(): number {
    return [...this.#steps, ...this.#long].reduce((sum, step) => sum + stepSize(step), sizeOf(this.#reached));
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /**
   * Answers `GET /stats`.
   * @throws BadQuery, and what `read` throws
   */
  async answer(query: URLSearchParams): Promise<StatsReport> {
    const [window, since] = [query.get('window'), query.get('since')];
    if (window === null) {
      if (since !== null) throw new BadQuery('since= goes with window=');
      return this.#options.read();
    }
    if (!isWindow(window))
      throw new BadQuery(`window= takes one of ${Object.keys(STATS_WINDOWS).join(', ')}`);
    const report = await this.#options.read();
    return { ...report, ...(await this.#window(tablesOf(report), STATS_WINDOWS[window], since)) };
  }

  async #window(tables: Tables, ms: number, since: string | null): Promise<Partial<StatsReport>> {
    const now = this.#options.clock.monotonic();
    const { totals, to } = this.#reached;
    const kept = ms < (STEPS - 1) * STEP_MS ? this.#steps : this.#longAndNewer;
    // The one in which the window begins counts whole.
    const steps = kept.filter((step) => step.to > now - ms);
    const from = steps[0]?.from ?? to;
    const parts = { names: this.#names, turns: new Turns() };
    const whole = <K extends Kind>(kind: K): Promise<Rows[K][]> => {
      const shape: RowShape<Rows[K]> = SHAPES[kind];
      const found = { steps: steps.map(({ rows }) => rows[kind]), since: totals[kind] };
      return windowRows<Rows[K]>(shape, tables[kind], { ...parts, ...found });
    };
    const known = since === null ? undefined : this.#numberIn(since);
    const newer = known === undefined ? undefined : steps.filter(({ number }) => number > known);
    const flows = await whole('flows');
    const points: StatsPoint[] = [];
    for (const step of newer ?? []) points.push(await pointOf(step, parts));
    return {
      windowMs: Math.max(1, Math.round(now - from)),
      complete: from <= now - ms,
      cursor: `${Math.round(this.#startedAt)}-${steps.at(-1)?.number ?? this.#number}`,
      ...(newer && { points }),
      targets: await whole('targets'),
      flows: flows.filter(({ requests, inFlight }) => requests + inFlight > 0),
      gateways: await whole('gateways'),
      routes: await whole('routes'),
    };
  }

  /** The number of a step in a cursor of this process; otherwise that of none. */
  #numberIn(cursor: string): number {
    const [start, number] = cursor.split('-');
    return start === String(Math.round(this.#startedAt)) ? Number(number) || 0 : 0;
  }

  get #longAndNewer(): readonly Step[] {
    const last = this.#long.at(-1)?.number ?? 0;
    return [...this.#long, ...this.#steps.filter(({ number }) => number > last)];
  }

  #wait(ms: number): void {
    const { clock, onError } = this.#options;
    const next = () => {
      const due = clock.monotonic() + STEP_MS;
      const again = () => {
        if (this.#timer !== undefined) this.#wait(Math.max(0, due - clock.monotonic()));
      };
      this.#step().catch(onError).then(again, again);
    };
    this.#timer = clock.after(ms, next, { unref: true });
  }

  async #step(): Promise<void> {
    const { clock } = this.#options;
    const tables = tablesOf(await this.#options.read());
    const [to, at] = [clock.monotonic(), clock.now()];
    const { to: from, totals } = this.#reached;
    const parts = { names: this.#names, turns: new Turns() };
    const made = await byKind((kind, shape) => advance(shape, tables[kind], totals[kind], parts));
    const number = this.#number + 1;
    const step = { number, from, to, at, rows: await byKind((kind) => made[kind].step) };
    const steps = [...this.#steps, step].slice(-STEPS);
    const long = number % LONG === 0 ? await longStep(steps.slice(-LONG), parts.turns) : undefined;
    const reached = { to, totals: await byKind((kind) => made[kind].totals) };
    const longs = long === undefined ? this.#long : [...this.#long, long].slice(-LONG_STEPS);
    const room = { bytes: this.#options.maxBytes ?? MAX_BYTES, taken: sizeOf(reached) };
    const fitting = await fittingSteps({ steps, longs }, room, parts.turns);
    // All at once: an answer is of before or of after.
    this.#number = number;
    this.#reached = reached;
    this.#steps = fitting.steps;
    this.#long = fitting.longs;
  }
}

/** Bytes of what had been counted at one moment, keys included: those of steps are the same texts. */
function sizeOf({ totals }: Reached): number {
  return Object.values(totals).reduce((sum, { size, keyBytes }) => sum + size + keyBytes, 0);
}

interface Steps {
  readonly steps: readonly Step[];
  readonly longs: readonly Step[];
}

/**
 * The steps as there is room for: where all are too many, those that take more than their share lose what is
 * above it.
 * @param room for all, and what of it is taken by other things
 */
async function fittingSteps(
  all: Steps,
  { bytes, taken }: { readonly bytes: number; readonly taken: number },
  turns: Turns,
): Promise<Steps> {
  const size = [...all.steps, ...all.longs].reduce((sum, step) => sum + stepSize(step), taken);
  if (size <= bytes) return all;
  const share = Math.max(0, bytes - taken) / (STEPS + LONG_STEPS);
  const [steps, longs]: [Step[], Step[]] = [[], []];
  for (const step of all.steps) steps.push(await fittedStep(step, share, turns));
  for (const step of all.longs) longs.push(await fittedStep(step, share, turns));
  return { steps, longs };
}

function isWindow(text: string): text is StatsWindow {
  return Object.hasOwn(STATS_WINDOWS, text);
}

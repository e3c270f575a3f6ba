import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { TableAnswer } from '../../src/dashboard/answers.ts';
import { addressLine } from '../support/address-line.ts';
import { PageReader } from '../support/page-reader.ts';
import { ROOT, type Run } from './session.ts';

/** A row, a card or a flow, as far as checks look at it. */
export interface Row {
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly reason?: string;
  readonly message?: string;
  /** Card: the cluster that it leads to. */
  readonly to?: string | null;
  /** Edge. */
  readonly src?: string;
  readonly dst?: string;
  readonly via?: string;
  readonly secured?: string;
  /** Flow. */
  readonly process?: string;
  readonly path?: string;
  readonly failure?: string;
  readonly target?: { readonly mirror?: string; readonly service?: string };
}

export type IsWanted = (row: Row) => boolean;

/** What was shown at one moment (`performance.now`). */
interface Reading {
  readonly at: number;
  readonly rows: readonly Row[];
}

/** How often verbs and page are read, and how much of what they said is kept. */
const EVERY_MS = 1000;
const MOST_READINGS = 200;
/** Of tests, shorter than people's: what failed before is soon forgotten. */
const WINDOW = ['-t', '10s'] as const;

/** Somebody who looks at both clusters, again and again, from before a fault. */
export abstract class Observer {
  readonly #readings: Reading[] = [];

  protected add(rows: readonly Row[]): void {
    this.#readings.push({ at: performance.now(), rows });
    if (this.#readings.length > MOST_READINGS) this.#readings.shift();
  }

  /** Whether it has shown something, and nothing of it last. */
  isQuiet(wanted: IsWanted): boolean {
    return this.#readings.at(-1)?.rows.some(wanted) === false;
  }

  /** The first such row that it has shown since then, and when. */
  firstSince(since: number, wanted: IsWanted): { readonly at: number; readonly row: Row } | undefined {
    for (const { at, rows } of this.#readings) {
      const row = at < since ? undefined : rows.find(wanted);
      if (row !== undefined) return { at, row };
    }
    return undefined;
  }

  /** In words, of the last rows: for people who look into a failure. */
  get last(): string {
    const rows = this.#readings.slice(-3).flatMap((one) => one.rows);
    const words = rows.map(({ kind, name, dst, process, reason, failure }) =>
      [kind, name, dst, process, failure, reason].filter((word) => word !== undefined).join(' '),
    );
    return words.length === 0 ? 'nothing' : [...new Set(words)].join(', ');
  }

  abstract stop(): Promise<void>;
}

/** A verb that prints a line of JSON for each reading, or for each flow. */
export class VerbObserver extends Observer {
  readonly #child: ChildProcess;
  #stderr = '';

  constructor(run: Run, ...args: readonly string[]) {
    super();
    const child = startVerb(run, args);
    createInterface({ input: child.stdout }).on('line', (line) => {
      const said = JSON.parse(line) as Row | Row[];
      this.add(Array.isArray(said) ? said : [said]);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-500);
    });
    this.#child = child;
  }

  override get last(): string {
    return this.#stderr === '' ? super.last : `${super.last}; on stderr: ${this.#stderr.trim()}`;
  }

  stop(): Promise<void> {
    return end(this.#child);
  }
}

/** The page's server, whose cards are asked for as programs do. */
export class PageObserver extends Observer {
  readonly #child: ChildProcess;
  readonly #timer: NodeJS.Timeout;
  #asked: Promise<void> = Promise.resolve();
  #error = '';

  private constructor(child: ChildProcess, page: PageReader) {
    super();
    this.#child = child;
    let isAsking = false;
    this.#timer = setInterval(() => {
      if (isAsking) return;
      isAsking = true;
      this.#asked = this.#ask(page).finally(() => (isAsking = false));
    }, EVERY_MS / 4);
  }

  static async start(run: Run): Promise<PageObserver> {
    const child = startVerb(run, ['dashboard', '--no-open', '--port', '0', ...WINDOW]);
    return new PageObserver(child, await PageReader.enter((await addressLine(child)).trim()));
  }

  async #ask(page: PageReader): Promise<void> {
    try {
      const { status, body } = await page.json('/api/cards.json');
      if (status !== 200) throw new Error(`it answered ${status}: ${JSON.stringify(body)}`);
      this.add(Object.values((body as TableAnswer).rows) as Row[]);
    } catch (error) {
      this.#error = String(error);
    }
  }

  override get last(): string {
    return this.#error === '' ? super.last : `${super.last}; ${this.#error}`;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#asked;
    await end(this.#child);
  }
}

export type ObserverName = 'edges' | 'page' | 'stat' | 'tap';
export type Observers = Readonly<Record<ObserverName, Observer>>;

/** All of them, each in a process of its own as people run them. */
export async function startObservers(run: Run): Promise<Observers> {
  const live = ['--failing', '-o', 'json', '-w', `${EVERY_MS / 1000}s`, ...WINDOW];
  const page = await PageObserver.start(run);
  return {
    page,
    stat: new VerbObserver(run, 'stat', 'link', 'mirror', 'svc', ...live),
    edges: new VerbObserver(run, 'edges', ...live),
    tap: new VerbObserver(run, 'tap', '-n', run.namespace, '--failures', '-o', 'json'),
  };
}

/** Flags by which a verb asks both clusters. */
export function bothClusters({ source, target }: Run): string[] {
  return [...source.flags, '--context', target.name];
}

function startVerb(run: Run, args: readonly string[]) {
  const program = path.join(ROOT, 'bin/linkspan.js');
  return spawn(process.execPath, [program, ...args, ...bothClusters(run)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  // A verb that is in the middle of asking an API server that is away may take its time.
  const late = setTimeout(() => child.kill('SIGKILL'), 3000);
  await ended;
  clearTimeout(late);
}

import { readTapQuery, TAP_TOKEN_HEADER, type TapFilter } from '../api/answers/tap-events.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import type { Clock } from '../base/clock.ts';
import { type AdminAnswer, type AdminRequest, textAnswer } from '../telemetry/admin-pages.ts';
import type { Exposition, MetricFamily } from '../telemetry/exposition.ts';
import type { Logger } from '../telemetry/log.ts';
import type { TapAccess, TapVerdict } from './tap-access.ts';
import type { TapRules } from './tap-rules.ts';
import { type TapCounts, TapSession } from './tap-session.ts';
import type { TapSink } from './tap.ts';

/** Most who look at one pod at the same time. */
const MAX_SESSIONS = 8;

/** What looks for somebody, in this process or in several. */
export interface TapOpener {
  /** Shows what passes from now on. @returns what ends it */
  tap(filter: TapFilter, sink: TapSink): () => void;
}

export interface TapPageOptions {
  readonly process: TapOpener;
  readonly access: TapAccess;
  readonly rules: TapRules;
  /** Whether paths are shown. */
  readonly paths: boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

const NOTHING: TapCounts = { sent: 0, limited: 0, dropped: 0, hidden: 0 };

/** Metrics of `GET /tap`. `docs/reference/metrics.md` lists the same. */
export const tapFamilies = {
  sessions: {
    name: 'linkspan_tap_sessions',
    type: 'gauge',
    labels: [],
    help: 'People who look at requests as they pass (linkspan tap).',
  },
  events: {
    name: 'linkspan_tap_events_total',
    type: 'counter',
    labels: ['result'],
    help: 'What became of requests that somebody asked to see: sent, limited, dropped or hidden.',
  },
} as const satisfies Record<string, MetricFamily>;

/**
 * `GET /tap`: streams what passes to those whom the API server lets look, one JSON object a line. Nobody else
 * gets any, and whoever looks costs a bounded ring.
 */
export class TapPage {
  readonly counts: TapCounts = { ...NOTHING };
  readonly #options: TapPageOptions;
  readonly #sessions = new Set<TapSession>();
  /** Who is being asked about. */
  #coming = 0;
  #ids = 0;

  constructor(options: TapPageOptions) {
    this.#options = options;
  }

  /** How many look. */
  get sessions(): number {
    return this.#sessions.size;
  }

  async answer(request: AdminRequest, query: URLSearchParams): Promise<AdminAnswer> {
    let filter: TapFilter;
    try {
      filter = readTapQuery(query);
    } catch (error) {
      return text(400, messageOf(error));
    }
    if (filter.path !== undefined && !this.#options.paths) return text(400, 'paths are not shown here');
    const token = request.header(TAP_TOKEN_HEADER) ?? '';
    if (this.#sessions.size + this.#coming >= MAX_SESSIONS)
      return text(429, `${MAX_SESSIONS} look at this pod already`);
    this.#coming++;
    try {
      const verdict = await this.#options.access.verdict(token, filter.namespace);
      return verdict.ok
        ? this.#begin(request, token, filter, verdict)
        : text(verdict.status, verdict.message);
    } finally {
      this.#coming--;
    }
  }

  /** Ends all sessions, because the process ends. */
  close(): void {
    for (const session of this.#sessions) session.end('shutting down');
  }

  #begin(
    request: AdminRequest,
    token: string,
    filter: TapFilter,
    { account, until }: TapVerdict & { readonly ok: true },
  ): AdminAnswer {
    const { access, rules, clock, paths, log } = this.#options;
    const session = new TapSession({
      filter,
      clock,
      paths,
      mayUntil: until,
      counts: this.counts,
      ruleOf: (target) => rules.of(target),
      mayGoOn: () => access.verdict(token, filter.namespace, true),
    });
    const id = ++this.#ids;
    this.#sessions.add(session);
    const since = clock.monotonic();
    log.info({ tap: id, account, filter }, 'somebody looks at requests');
    const leave = this.#options.process.tap(filter, session);
    const over = () => {
      if (!this.#sessions.delete(session)) return;
      leave();
      const ms = Math.round(clock.monotonic() - since);
      log.info({ tap: id, account, why: session.ended, sent: session.sent, ms }, 'nobody looks any more');
    };
    request.onClose(() => {
      session.end('reader gone');
      over();
    });
    return {
      status: 200,
      headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' },
      body: withEnd(session.lines(), over),
    };
  }
}

/** Writes the metrics; those of a process that nobody may look at are zero. */
export function writeTaps(
  out: Exposition,
  { sessions = 0, counts = NOTHING }: Partial<Pick<TapPage, 'sessions' | 'counts'>> = {},
): void {
  out.write(tapFamilies.sessions, [[{}, sessions]]);
  out.write(
    tapFamilies.events,
    Object.entries(counts).map(([result, count]) => [{ result }, count] as const),
  );
}

async function* withEnd(pieces: AsyncGenerator<Buffer>, over: () => void): AsyncGenerator<Buffer> {
  try {
    yield* pieces;
  } finally {
    over();
  }
}

function text(status: number, message: string): AdminAnswer {
  const answer = textAnswer(status, `${message}\n`);
  return status === 429 ? { ...answer, headers: { ...answer.headers, 'retry-after': '10' } } : answer;
}

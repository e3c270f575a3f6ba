import { systemClock } from '../../src/base/clock.ts';
import type { AnswerSource } from '../../src/dashboard/dashboard-answers.ts';
import { type Dashboard, startDashboard } from '../../src/dashboard/dashboard-server.ts';
import { readPageFiles } from '../../src/dashboard/page-files.ts';
import { emptyTables, type Meta, type Tables } from '../../src/dashboard/snapshot.ts';
import { SnapshotFeed } from '../../src/dashboard/snapshot-feed.ts';

/** The page as it is served, over tables that a test makes up; no cluster is asked. */
export interface DashboardBed {
  readonly dashboard: Dashboard;
  readonly feed: SnapshotFeed;
  /** What `/api/…` and `/live/…` answer; a test may put others in place. */
  readonly answers: { -readonly [K in keyof AnswerSource]: AnswerSource[K] };
}

export function dashboardMeta(meta: Partial<Meta> = {}): Meta {
  return {
    v: 1,
    version: '0.1.0',
    startedAt: Date.UTC(2026, 0, 1),
    windowMs: 60_000,
    everyMs: 2000,
    prometheus: null,
    firstCommands: ['linkspan install', 'linkspan link --from west --to east', 'linkspan export svc web'],
    ...meta,
  };
}

/** @param port default: any that is free */
export async function startDashboardBed(
  tables: Partial<Tables> = {},
  { meta = {}, port = 0 }: { readonly meta?: Partial<Meta>; readonly port?: number } = {},
): Promise<DashboardBed> {
  const feed = new SnapshotFeed(dashboardMeta(meta), systemClock);
  feed.publish({ ...emptyTables(), ...tables });
  const answers: DashboardBed['answers'] = {
    reasons: () => ({ reasons: [], codes: [], failures: [] }),
    service: () => Promise.resolve({ explanations: [], policy: [], ports: [], problems: [], unread: [] }),
    async *tap() {},
    async *top() {},
    history: undefined,
  };
  const files = await readPageFiles();
  const dashboard = await startDashboard({ port, feed, files, answers, clock: systemClock });
  return { dashboard, feed, answers };
}

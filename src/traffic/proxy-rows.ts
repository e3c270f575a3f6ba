import type { StatsReport } from '../api/answers/stats-report.ts';
import type { TrafficReason } from '../api/reasons/traffic-reasons.ts';
import type { ClusterReading, ProcessKind, ProcessReading } from './cluster-reading.ts';
import { processVerdict, streamsOf } from './process-rows.ts';
import { FINE, type ToldVerdict, type Verdict } from './traffic-verdict.ts';

/** One pod of an installation, for programs. */
export interface ProxyRow extends ToldVerdict {
  readonly name: string;
  readonly kind: ProcessKind;
  readonly cluster: string;
  readonly version: string | null;
  readonly ready: boolean;
  readonly workers: number | null;
  /** What it follows, how much of that is heard of, and how long ago the oldest word was, seconds. */
  readonly synced: { readonly ok: number; readonly known: number } | null;
  readonly oldest_s: number | null;
  /** How long its certificate holds, seconds; less than 0: it has ended. */
  readonly certificate_left_s: number | null;
  /** The same of the first of the trust anchors that it knows. */
  readonly anchors_left_s: number | null;
  readonly identity: string | null;
  readonly connections: number | null;
  readonly streams: number | null;
  readonly restarts: number;
  /** For ordering with rows of other verbs. */
  readonly rps: null;
}

/** Leaves live a day and are renewed long before: this late something is wrong. */
const CERTIFICATE_LEFT_S = 3600;
const ANCHOR_LEFT_S = 7 * 86_400;

/** `linkspan proxies`: every pod, with what it has and how old that is. */
export function proxyRows(readings: readonly ClusterReading[]): ProxyRow[] {
  return readings.flatMap((reading) => {
    const common = commonVersion(reading.processes);
    return reading.processes.map((process): ProxyRow => {
      const { name, kind, ready, restarts, version, window } = process;
      const report = window?.report;
      const left = certificateLeft(report);
      return {
        name,
        kind,
        cluster: reading.cluster,
        version: report?.version ?? version ?? null,
        ready,
        workers: report?.workers ?? null,
        ...syncOf(report),
        certificate_left_s: left ?? null,
        anchors_left_s: anchorsLeft(report) ?? null,
        identity: report?.certificate?.identity ?? null,
        connections: connectionsOf(process),
        streams: streamsOf(process),
        restarts,
        rps: null,
        ...proxyVerdict(process, common),
        advice: '',
      };
    });
  });
}

function proxyVerdict(process: ProcessReading, common: string | undefined): Verdict {
  const report = process.window?.report;
  const bad = processVerdict(process) ?? certificateVerdict(report) ?? syncVerdict(report);
  if (bad !== undefined) return bad;
  const version = report?.version ?? process.version;
  if (common === undefined || version === undefined || version === common) return FINE;
  // Worth a word in the middle of an upgrade, and no failure.
  return {
    failing: false,
    reason: 'VersionSkew' satisfies TrafficReason,
    message: `${version}, and others are ${common}`,
  };
}

function syncVerdict(report: StatsReport | undefined): Verdict | undefined {
  const stale = report?.sync?.find(({ ok }) => !ok);
  if (stale === undefined) return undefined;
  const { kind, ageS } = stale;
  const heard = ageS === undefined ? 'never heard of' : `last heard of ${Math.round(ageS)} s ago`;
  return { failing: true, reason: 'SyncStale' satisfies TrafficReason, message: `${kind}: ${heard}` };
}

function certificateVerdict(report: StatsReport | undefined): Verdict | undefined {
  const left = certificateLeft(report);
  const reason: TrafficReason = 'CertificateExpiring';
  if (report !== undefined && left !== undefined && left < CERTIFICATE_LEFT_S)
    return { failing: true, reason, message: `its certificate ${endOf(left)}` };
  const anchor = anchorsLeft(report);
  if (anchor !== undefined && anchor < ANCHOR_LEFT_S)
    return { failing: true, reason, message: `a trust anchor that it knows ${endOf(anchor)}` };
  return undefined;
}

function endOf(left: number): string {
  return left < 0 ? `has ended ${Math.round(-left)} s ago` : `ends in ${Math.round(left)} s`;
}

/** By the clock of the process: it is the one that its peers are told by. */
function certificateLeft(report: StatsReport | undefined): number | undefined {
  const notAfter = report?.certificate?.notAfter;
  return notAfter === undefined ? undefined : secondsUntil(notAfter, report);
}

function anchorsLeft(report: StatsReport | undefined): number | undefined {
  const notAfter = report?.certificate?.anchorsNotAfter;
  return notAfter === undefined ? undefined : secondsUntil(notAfter, report);
}

function secondsUntil(at: number, report: StatsReport | undefined): number {
  return Math.round((at - (report?.at ?? at)) / 1000);
}

function syncOf(report: StatsReport | undefined): Pick<ProxyRow, 'oldest_s' | 'synced'> {
  const sync = report?.sync;
  if (sync === undefined || sync.length === 0) return { synced: null, oldest_s: null };
  const ages = sync.flatMap(({ ageS }) => ageS ?? []);
  const synced = { ok: sync.filter(({ ok }) => ok).length, known: sync.length };
  return { synced, oldest_s: ages.length === 0 ? null : Math.max(...ages) };
}

/** Connections to endpoints, or to gateways. */
function connectionsOf({ kind, window }: ProcessReading): number | null {
  const report = window?.report;
  if (report === undefined) return null;
  if (kind === 'egress') {
    const known = report.gateways.filter(({ connections }) => connections !== undefined);
    return known.length === 0 ? null : known.reduce((sum, { connections = 0 }) => sum + connections, 0);
  }
  return report.targets.reduce((sum, { tcp }) => sum + (tcp?.open ?? 0), 0);
}

/** The version that most have. */
function commonVersion(processes: readonly ProcessReading[]): string | undefined {
  const versions = processes.flatMap(({ window, version }) => window?.report.version ?? version ?? []);
  const counts = [...Map.groupBy(versions, (one) => one)].map(([one, all]) => [one, all.length] as const);
  return counts.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? 1 : -1))[0]?.[0];
}

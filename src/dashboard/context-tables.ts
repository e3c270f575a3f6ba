import type { LinkReport, ServiceReport } from '../api/answers/admin-answers.ts';
import { clientRows } from '../traffic/client-rows.ts';
import type { ClusterReading } from '../traffic/cluster-reading.ts';
import { edgeRows } from '../traffic/edge-rows.ts';
import { processRows } from '../traffic/process-rows.ts';
import { proxyRows } from '../traffic/proxy-rows.ts';
import { routeRows } from '../traffic/route-rows.ts';
import { ownServiceRows } from '../traffic/service-rows.ts';
import type { StatRow } from '../traffic/stat-row.ts';
import { isBadMirror, type ToldVerdict } from '../traffic/traffic-verdict.ts';
import type { ClusterFacts, ContextPicture } from './cluster-facts.ts';
import { type AdviceFor, linksShown, withoutSources } from './link-rows-shown.ts';
import type { ProcessRow, ReportRow, Table, Tables } from './snapshot.ts';
import { sparkRows } from './spark-rows.ts';

/** A picture of which something was read, under the name that others have for its cluster. */
export interface NamedPicture extends ContextPicture {
  readonly facts: ClusterFacts;
  readonly reading: ClusterReading;
}

/** Tables whose rows are each of one context alone. */
export type ContextTables = Pick<
  Tables,
  'clients' | 'edges' | 'links' | 'processes' | 'reports' | 'routes' | 'services' | 'sparks'
>;

const SIDES = ['egress', 'gateway'] as const;

/** @param now milliseconds since the epoch */
export function contextTables(
  { context, facts, reading }: NamedPicture,
  adviceFor: AdviceFor,
  now: number,
): ContextTables {
  const shown = <T extends ToldVerdict & Pick<StatRow, 'from' | 'window_s'>>(rows: readonly T[]) =>
    rows.map((row) => shownRow(row, context, adviceFor));
  const named = { ...facts, reading };
  return {
    links: keyed(linksShown(context, named, adviceFor, now), ({ name }) => `${context}/${name}`),
    services: servicesOf(shown(ownServiceRows(reading)), reading),
    reports: keyed(
      reading.reports.flatMap((report) => reportRows(context, report, adviceFor)),
      ({ link, service, federated }) => `${context}/${link}/${federated ? 'federated/' : ''}${service}`,
    ),
    edges: edgesShown(context, reading, adviceFor),
    routes: keyed(
      shown(routeRows([reading], () => true)),
      ({ side, namespace, service, route }) => `${context}/${side}/${namespace}/${service}/${route}`,
    ),
    clients: keyed(
      shown(clientRows([reading])),
      ({ side, cluster, namespace, name }) => `${context}/${side}/${cluster}/${namespace}/${name}`,
    ),
    processes: keyed(processesOf(context, reading, adviceFor), ({ name }) => `${context}/${name}`),
    sparks: sparkRows(context, named, now),
  };
}

/** Who asks whom in a cluster. */
export function edgesShown(
  context: string,
  reading: ClusterReading,
  adviceFor: AdviceFor,
): ContextTables['edges'] {
  const rows = edgeRows([reading]).map((row) => shownRow(row, context, adviceFor));
  return keyed(rows, ({ via, src_cluster, src_namespace, src, dst_namespace, dst }) =>
    [context, via, src_cluster, src_namespace, src, dst_namespace, dst].join('/'),
  );
}

/** A row as the page gets it. */
export function shownRow<T extends ToldVerdict & Pick<StatRow, 'from' | 'window_s'>>(
  row: T,
  context: string,
  adviceFor: AdviceFor,
): Omit<T, 'from' | 'window_s'> & { readonly context: string } {
  return { ...withoutSources(row), advice: row.failing ? adviceFor(row.reason) : row.advice, context };
}

/** Rows by key; where two have one, the second goes by it and its number. */
export function keyed<T>(rows: readonly T[], keyOf: (row: T) => string): Table<T> {
  const found = new Map<string, T>();
  for (const row of rows) {
    const key = keyOf(row);
    let free = key;
    for (let at = 2; found.has(free); at++) free = `${key}#${at}`;
    found.set(free, row);
  }
  return Object.fromEntries(found);
}

/** What is no mirror: those stand in a table of their own, with both ends. */
function servicesOf(
  rows: readonly Omit<Tables['services'][string], 'exported'>[],
  { services }: ClusterReading,
): Tables['services'] {
  const exported = new Set(
    services.filter((one) => one.exported).map(({ namespace, name }) => `${namespace}/${name}`),
  );
  return keyed(
    rows.map((row) => ({ ...row, exported: exported.has(`${row.namespace}/${row.name}`) })),
    ({ context, side, namespace, name }) => `${context}/${side ?? ''}/${namespace}/${name}`,
  );
}

function reportRows(context: string, report: LinkReport, adviceFor: AdviceFor): ReportRow[] {
  const link = report.link.slice(report.link.indexOf('/') + 1);
  const rowOf =
    (federated: boolean) =>
    (one: ServiceReport): ReportRow => {
      const { service, local, mode, reason, message, since, endpoints, leftOut = [] } = one;
      const failing = isBadMirror(reason);
      return {
        context,
        link,
        cluster: report.cluster,
        service,
        local,
        mode,
        federated,
        reason,
        message,
        advice: reason === 'Mirrored' ? '' : adviceFor(reason),
        failing,
        since,
        endpoints,
        leftOut: leftOut.map(({ text }) => text),
      };
    };
  return [...(report.mirrors ?? []).map(rowOf(false)), ...(report.federated ?? []).map(rowOf(true))];
}

function processesOf(context: string, reading: ClusterReading, adviceFor: AdviceFor): ProcessRow[] {
  const signals = new Map(
    SIDES.flatMap((kind) => processRows([reading], kind).map((row) => [row.name, row] as const)),
  );
  return proxyRows([reading]).map((row): ProcessRow => {
    const { success, latency_ms_p99, in_flight, rps, cpu, memory } = signals.get(row.name) ?? NO_SIGNALS;
    const advice = row.reason === '' ? '' : adviceFor(row.reason);
    const numbers = { success, latency_ms_p99, in_flight, requests_rps: rps };
    return { ...row, context, advice, ...numbers, cpu: cpu ?? null, memory: memory ?? null };
  });
}

/** Of what carries nothing. */
const NO_SIGNALS = {
  success: null,
  latency_ms_p99: null,
  in_flight: 0,
  rps: null,
  cpu: null,
  memory: null,
} as const;

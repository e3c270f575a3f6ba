import { smallest } from '../base/extremes.ts';
import type { FlowStats, TargetStats } from '../api/answers/stats-report.ts';
import { backendOf, mirrorOf } from '../api/ports/target-key.ts';
import { answersOf, type ClusterReading, type From } from './cluster-reading.ts';
import { type Client, clientOf } from './client-rows.ts';
import { origin } from './service-rows.ts';
import { type SignalFields, Tally } from './tally.ts';
import { signalsVerdict, type ToldVerdict } from './traffic-verdict.ts';

/** Who asks whom, for programs. The first keys are those of `linkerd viz edges`. */
export interface EdgeRow extends Pick<SignalFields, 'errors' | 'in_flight' | 'rps' | 'success'>, ToldVerdict {
  readonly src: string;
  readonly src_namespace: string;
  readonly dst: string;
  readonly dst_namespace: string;
  readonly client_id: string;
  readonly server_id: string;
  /** Why the client's own hop is not encrypted; empty: it is. */
  readonly no_tls_reason: string;
  readonly src_cluster: string;
  readonly dst_cluster: string;
  /** Each hop: from the client, between the clusters, to the endpoint. `?`: not known here. */
  readonly secured: string;
  /** What the client speaks: `http1`, `http2`, `opaque`; empty: processes of an older version do not say. */
  readonly protocols: readonly string[];
  /** Which end has seen it. */
  readonly via: 'egress' | 'gateway';
  /** Seconds since the last request began. */
  readonly last_s: number;
  /** Bytes of bodies each second, from the client, and to it. */
  readonly bytes_in_rate: number;
  readonly bytes_out_rate: number;
  readonly window_s: number;
  readonly from: From;
}

interface SeenFlow {
  readonly flow: FlowStats;
  readonly target: TargetStats | undefined;
  readonly ms: number;
}

const NOT_MESHED = 'the client speaks plainly to the egress';

/** Pairs of client and Service with what passed between them in the window. */
export function edgeRows(readings: readonly ClusterReading[]): EdgeRow[] {
  return readings.flatMap((reading) =>
    (['egress', 'gateway'] as const).flatMap((side) => edgesAt(reading, side)),
  );
}

function edgesAt(reading: ClusterReading, side: 'egress' | 'gateway'): EdgeRow[] {
  const seen = answersOf(reading, side).flatMap(({ window }): SeenFlow[] => {
    const targets = new Map(window.report.targets.map((target) => [target.label, target]));
    const quiet = ({ requests, inFlight, failures, errors }: FlowStats) =>
      requests === 0 && inFlight === 0 && failures === 0 && Object.keys(errors).length === 0;
    return window.report.flows
      .filter((flow) => !quiet(flow))
      .map((flow) => ({ flow, target: targets.get(flow.target), ms: window.ms }));
  });
  const identities = gatewayIdentities(reading);
  const pairs = Map.groupBy(seen, ({ flow }) => `${flow.target}\n${flow.peer}\n${flow.from?.cluster ?? ''}`);
  return [...pairs.values()].flatMap((all) => {
    const [first] = all;
    return first === undefined ? [] : [edgeRow(reading, side, all, { first, identities })];
  });
}

function edgeRow(
  reading: ClusterReading,
  side: 'egress' | 'gateway',
  all: readonly SeenFlow[],
  { first, identities }: { readonly first: SeenFlow; readonly identities: ReadonlyMap<string, string> },
): EdgeRow {
  const tally = new Tally();
  for (const { flow, ms } of all) tally.add(flow, ms);
  const client = clientOf(first.flow, side, reading);
  const there = first.target?.there?.cluster;
  const { name, namespace } = mirrorOf(first.flow.target) ?? backendOf(first.flow.target);
  const { success, rps, in_flight, errors } = tally.fields;
  const rate = (bytes: 'bytesIn' | 'bytesOut') =>
    Math.round(all.reduce((sum, { flow, ms }) => sum + flow[bytes] / (ms / 1000), 0));
  return {
    src: client.name,
    src_namespace: client.namespace,
    dst: name,
    dst_namespace: namespace,
    client_id: client.identity,
    server_id: side === 'egress' ? (identities.get(there ?? '') ?? '') : '',
    no_tls_reason: noTls(side, client),
    src_cluster: client.cluster,
    dst_cluster: there ?? reading.cluster,
    secured: secured(side, client, there),
    protocols: [...new Set(all.flatMap(({ flow }) => flow.protocols ?? []))].sort(),
    via: side,
    success,
    rps,
    in_flight,
    errors,
    ...edgeVerdict(tally),
    advice: '',
    last_s: Math.round(smallest(all.map(({ flow }) => flow.idleMs))) / 1000,
    bytes_in_rate: rate('bytesIn'),
    bytes_out_rate: rate('bytesOut'),
    ...origin(reading, side),
  };
}

/** A client that is not let in fails, whether or not that is as it should be: it is what it sees. */
function edgeVerdict(tally: Tally): Pick<EdgeRow, 'failing' | 'message' | 'reason'> {
  const denied = tally.rateOf('unauthorized');
  const verdict = signalsVerdict(tally);
  if (verdict.failing || denied === 0) return verdict;
  const message = `${denied.toFixed(1)} requests each second are not allowed`;
  return { failing: false, reason: 'unauthorized', message };
}

function noTls(side: 'egress' | 'gateway', { identity }: Client): string {
  return side === 'egress' ? NOT_MESHED : identity === '' ? 'the client has shown no identity' : '';
}

/** What an egress sends to pods of its own cluster crosses nothing. */
function secured(side: 'egress' | 'gateway', { identity }: Client, there: string | undefined): string {
  if (side === 'gateway') return identity === '' ? 'plain→?' : 'mTLS→?';
  return there === undefined ? 'plain→?' : 'plain→mTLS→?';
}

/** The identity that gateways of a cluster prove, where egress pods say it. */
function gatewayIdentities(reading: ClusterReading): Map<string, string> {
  const gateways = answersOf(reading, 'egress').flatMap(({ window }) => window.report.gateways);
  // One address may not know it.
  return new Map(
    gateways.flatMap(({ cluster, identity = '' }) => (identity === '' ? [] : [[cluster, identity]])),
  );
}

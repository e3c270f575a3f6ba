import { smallest } from '../base/extremes.ts';
import type { FlowStats } from '../api/answers/stats-report.ts';
import { IDENTITY_MARK } from '../api/linkerd/identity-form.ts';
import { answersOf, type ClusterReading } from './cluster-reading.ts';
import { origin } from './service-rows.ts';
import { baseRow, type StatRow } from './stat-row.ts';
import { rounded, Tally } from './tally.ts';
import { signalsVerdict } from './traffic-verdict.ts';

/** Who asks. */
export interface Client {
  readonly name: string;
  readonly namespace: string;
  /** The cluster that it is of; empty: not known. With `?` where it only says so. */
  readonly cluster: string;
  /** What it has proven; empty at an egress. */
  readonly identity: string;
}

/** Who is behind the peer of a flow: an address at an egress, an identity at a gateway. */
export function clientOf(
  { peer, from }: FlowStats,
  side: 'egress' | 'gateway',
  reading: ClusterReading,
): Client {
  if (side === 'egress') {
    const pod = reading.pods.get(peer);
    const { name, namespace } = pod ?? { name: peer, namespace: '' };
    return { name, namespace, cluster: reading.cluster, identity: '' };
  }
  const claimed = from === undefined ? '' : `${from.cluster}${from.proven ? '' : '?'}`;
  return { ...accountOf(peer), cluster: claimed, identity: peer };
}

/** Account and namespace in an identity of Linkerd's form; another one is a name as a whole. */
function accountOf(identity: string): Pick<Client, 'name' | 'namespace'> {
  const account = identity.slice(0, Math.max(0, identity.indexOf(IDENTITY_MARK)));
  const dot = account.lastIndexOf('.');
  if (dot <= 0) return { name: identity, namespace: '' };
  return { name: account.slice(0, dot), namespace: account.slice(dot + 1) };
}

/** `stat client`: everybody who asks, at either end. */
export function clientRows(readings: readonly ClusterReading[]): StatRow[] {
  return readings.flatMap((reading) =>
    (['egress', 'gateway'] as const).flatMap((side) => {
      const flows = answersOf(reading, side).flatMap(({ window }) =>
        window.report.flows.map((flow) => ({ flow, ms: window.ms })),
      );
      const byPeer = Map.groupBy(flows, ({ flow }) => `${flow.peer}\n${flow.from?.cluster ?? ''}`);
      return [...byPeer.values()].map((all) => clientRow(reading, side, all));
    }),
  );
}

function clientRow(
  reading: ClusterReading,
  side: 'egress' | 'gateway',
  flows: readonly { readonly flow: FlowStats; readonly ms: number }[],
): StatRow {
  const tally = new Tally();
  for (const { flow, ms } of flows) tally.add(flow, ms);
  const [first] = flows;
  const who =
    first === undefined
      ? { name: '', namespace: '', cluster: '', identity: '' }
      : clientOf(first.flow, side, reading);
  const { namespace, name, cluster } = who;
  return {
    ...baseRow(
      { namespace, kind: 'client', name, cluster, side, ...origin(reading, side) },
      tally,
      signalsVerdict(tally),
    ),
    targets: new Set(flows.map(({ flow }) => flow.target)).size,
    unauthorized: tally.rateOf('unauthorized'),
    last_s: rounded(smallest(flows.map(({ flow }) => flow.idleMs)) / 1000),
  };
}

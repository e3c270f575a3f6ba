import type { ClusterReading } from '../traffic/cluster-reading.ts';
import { clusterRows } from '../traffic/link-traffic-rows.ts';
import { tallyOf } from '../traffic/process-rows.ts';
import { Tally } from '../traffic/tally.ts';
import type { ContextPicture } from './cluster-facts.ts';
import type { NamedPicture } from './context-tables.ts';
import type { MapEdgeRow, NodeRow, Table, Tables } from './snapshot.ts';

/** All that one end of a cluster has counted. */
export function sideTally(reading: ClusterReading, side: 'egress' | 'gateway'): Tally {
  const tally = new Tally();
  for (const one of reading.processes) if (one.kind === side) tally.include(tallyOf(one));
  return tally;
}

/** Clusters that were asked, and those that Links name. */
export function mapNodes(
  pictures: readonly ContextPicture[],
  known: readonly NamedPicture[],
  clients: Tables['clients'],
): Table<NodeRow> {
  const asked = new Map(known.toReversed().map((one) => [one.reading.cluster, one]));
  const nodes = clusterRows(known.map(({ reading }) => reading)).map(
    ({ cluster, failing, reason, message }): NodeRow => {
      const verdict = { cluster, failing, reason, message };
      const own = asked.get(cluster);
      return own === undefined ? { ...verdict, ...NOT_ASKED } : { ...verdict, ...askedNode(own, clients) };
    },
  );
  const seen = new Set(nodes.map(({ cluster }) => cluster));
  const unread = pictures
    .filter(({ facts, context }) => facts === undefined && !seen.has(context))
    .map(({ context, error }): NodeRow => {
      const words = { failing: error !== null, reason: error?.code ?? '', message: error?.message ?? '' };
      return { cluster: context, ...words, ...NOT_ASKED, context };
    });
  return Object.fromEntries([...nodes, ...unread].map((node) => [node.cluster, node]));
}

const NOT_ASKED = {
  context: null,
  clients: null,
  egresses: null,
  gateways: null,
  services: null,
  out_rps: null,
  in_rps: null,
} as const;

function askedNode(
  { context, reading }: NamedPicture,
  clients: Tables['clients'],
): Omit<NodeRow, 'cluster' | 'failing' | 'message' | 'reason'> {
  const count = (kind: string) => reading.processes.filter((one) => one.kind === kind).length;
  return {
    context,
    clients: Object.values(clients).filter((one) => one.context === context && one.side === 'egress').length,
    egresses: count('egress'),
    gateways: count('gateway'),
    services: reading.services.filter(({ exported }) => exported).length,
    out_rps: sideTally(reading, 'egress').fields.rps,
    in_rps: sideTally(reading, 'gateway').fields.rps,
  };
}

/** Links as what lies between clusters. */
export function mapEdges(links: Tables['links']): Table<MapEdgeRow> {
  return Object.fromEntries(
    Object.entries(links).map(([key, link]): [string, MapEdgeRow] => {
      const { context, name, source = '', cluster, failing, reason, message, advice } = link;
      const { rps, success, latency_ms_p99, rtt_ms = null, streams = null, mirrors = null } = link;
      const verdict = { failing, reason, message, advice };
      const numbers = { rps, success, latency_ms_p99, rtt_ms, streams, mirrors };
      return [key, { context, link: name, source, target: cluster, ...verdict, ...numbers }];
    }),
  );
}

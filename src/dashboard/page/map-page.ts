import type { MapEdgeRow, NodeRow } from '../snapshot.ts';
import { type DataColumn, DataTable } from './data-table.ts';
import { count, latency, rate, several, share } from './format.ts';
import { LinkFlow } from './link-flow.ts';
import { layoutMap, NODE, type PlacedEdge, type PlacedNode } from './map-layout.ts';
import { classes, html } from './markup.ts';
import { chosen, place } from './navigation.ts';
import { isOldRow } from './now-page.ts';
import { pageHref } from './page-routes.ts';
import { isShown } from './page-shell.ts';
import { noRows, PageHead, standIn } from './page-states.ts';
import { oldContexts, tables } from './page-store.ts';
import { numberColumn, reasonColumn, signalColumns, textColumn, verdictColumn } from './signal-columns.ts';
import { Panel } from './small-parts.ts';
import { failingFirst } from './table-order.ts';
import { successTone } from './tones.ts';

/** Clusters and the links between them, drawn and as a table. */
export function MapPage() {
  const blank = standIn();
  const edges = failingFirst(tables.mapEdges.value, isShown);
  const nodes = shownNodes(edges);
  const note = `${several(nodes.length, 'cluster')}, ${several(edges.length, 'link')}`;
  if (blank !== undefined) return html`<${PageHead} title="Map" />${blank}`;
  const selected = edges.find(([key]) => key === chosen('link'))?.[1];
  return html`<${PageHead} title="Map" note=${note} />
    <${Drawing} nodes=${nodes} edges=${edges} />
    ${
      selected === undefined
        ? html`<p class="muted hint">Choose a link to see who uses it, by which pods, for which Services.</p>`
        : html`<${LinkFlow} edge=${selected} />`
    }
    <${Panel} title="The same as a table">
      <${DataTable}
        caption="Links between clusters"
        quietCaption=${true}
        rows=${edges}
        columns=${COLUMNS}
        isOld=${isOldRow}
        isFailing=${({ failing }: MapEdgeRow) => failing}
        empty=${noRows('Link', chosen('cluster') !== '')}
      />
    </${Panel}>`;
}

function shownNodes(edges: readonly (readonly [string, MapEdgeRow])[]): NodeRow[] {
  const all = Object.values(tables.nodes.value);
  if (chosen('cluster') === '') return all;
  const named = new Set(edges.flatMap(([, { source, target }]) => [source, target]));
  return all.filter(({ cluster, context }) => named.has(cluster) || context === chosen('cluster'));
}

const COLUMNS: readonly DataColumn<MapEdgeRow>[] = [
  {
    key: 'link',
    head: 'Link',
    name: true,
    sort: ({ link }) => link,
    cell: ({ context, link }) => html`<a href=${pageHref('links', [context, link])}><bdi>${link}</bdi></a>`,
  },
  textColumn('source', 'From', ({ source }) => source),
  textColumn('target', 'To', ({ target }) => target),
  verdictColumn(),
  ...signalColumns<MapEdgeRow>(),
  numberColumn('p99', 'p99', (row) => row.latency_ms_p99, latency),
  numberColumn('rtt', 'Round trip', (row) => row.rtt_ms, latency),
  numberColumn('streams', 'Streams', ({ streams }) => streams, count),
  numberColumn('mirrors', 'Mirrors', ({ mirrors }) => mirrors, count),
  reasonColumn(),
];

interface DrawingProps {
  readonly nodes: readonly NodeRow[];
  readonly edges: readonly (readonly [key: string, edge: MapEdgeRow])[];
}

function Drawing({ nodes, edges }: DrawingProps) {
  const layout = layoutMap(
    nodes.map(({ cluster }) => ({ key: cluster })),
    edges.map(([key, { source, target }]) => ({ key, source, target })),
  );
  const byCluster = new Map(nodes.map((node) => [node.cluster, node]));
  const byKey = new Map(edges);
  const most = Math.max(1, ...edges.map(([, { rps }]) => rps ?? 0));
  const { width, height } = layout;
  return html`<div class="map" role="region" aria-label="Map of clusters and links" tabindex="0">
    <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="group" aria-label="Clusters and links">
      ${layout.edges.map((placed) => edgeOf(placed, byKey.get(placed.key), most))}
      ${layout.nodes.map((placed) => nodeOf(placed, byCluster.get(placed.key)))}
    </svg>
  </div>`;
}

function edgeOf({ key, path, at }: PlacedEdge, edge: MapEdgeRow | undefined, most: number) {
  if (edge === undefined) return '';
  const { link, source, target, rps, success, rtt_ms: rtt, failing, reason, context } = edge;
  const isChosen = chosen('link') === key;
  const query = new URLSearchParams(place.value.query);
  query.set('link', key);
  if (isChosen) query.delete('link');
  const words = [
    `Link ${link}, ${source} to ${target}`,
    failing ? `failing, ${reason}` : '',
    `${rate(rps)} requests a second, ${share(success)} succeed, round trip ${latency(rtt)}`,
  ];
  const tone = failing ? 'bad' : successTone(success);
  const old = oldContexts.value.has(context);
  const stroke = 1.5 + 5.5 * Math.sqrt((rps ?? 0) / most);
  const label = `${rate(rps)}/s · ${latency(rtt)}`;
  const half = label.length * 3.3 + 16;
  return html`<a
    key=${key}
    href=${`/map?${query.toString()}`}
    class=${classes('map-link', tone, old && 'old', isChosen && 'chosen')}
    aria-label=${words.filter((one) => one !== '').join(': ')}
    aria-current=${isChosen ? 'true' : undefined}
  >
    <path class="hit" d=${path} />
    <path class="line" d=${path} stroke-width=${stroke} />
    <g transform=${`translate(${at.x} ${at.y})`}>
      <rect class="label" x=${-half} y="-11" width=${2 * half} height="22" rx="11" />
      ${
        failing
          ? html`<path class="sign" d=${`M${10 - half} -4l8 8M${18 - half} -4l-8 8`} />`
          : html`<circle class="sign" cx=${14 - half} cy="0" r="3.5" />`
      }
      <text x="8" y="4" text-anchor="middle">${label}</text>
    </g>
  </a>`;
}

/** Longest name that a box has room for, characters; the whole one is in its title and in the table. */
const NAME_ROOM = 22;

function nodeOf({ key, x, y }: PlacedNode, node: NodeRow | undefined) {
  if (node === undefined) return '';
  const {
    cluster,
    context,
    failing,
    reason,
    services,
    gateways,
    egresses,
    out_rps: out,
    in_rps: into,
  } = node;
  const asked = context !== null;
  const old = context !== null && oldContexts.value.has(context);
  const state = !asked ? 'is not asked' : failing ? `failing, ${reason}` : old ? 'silent' : 'fine';
  const counts = asked
    ? `${several(services ?? 0, 'Service')} · ${gateways ?? 0} gw · ${egresses ?? 0} eg`
    : 'known by Links only';
  const rates = asked ? `sends ${rate(out)}/s · gets ${rate(into)}/s` : '';
  const name = cluster.length > NAME_ROOM ? `${cluster.slice(0, NAME_ROOM - 1)}…` : cluster;
  return html`<a
    key=${key}
    class=${classes('map-node', failing && 'failing', !asked && 'unasked', old && 'old')}
    href=${asked ? pageHref('services', [], { cluster: context }) : pageHref('links')}
    aria-label=${`Cluster ${cluster}, ${state}: ${counts}${rates === '' ? '' : `, ${rates}`}`}
  >
    <title>${cluster}</title>
    <g transform=${`translate(${x} ${y})`}>
      <rect width=${NODE.width} height=${NODE.height} rx="10" />
      ${failing ? html`<path class="sign" d="M186 16l8 8M194 16l-8 8" />` : asked ? html`<circle class="sign" cx="190" cy="20" r="4.5" />` : html`<circle class="sign ring" cx="190" cy="20" r="4" />`}
      <text class="title" x="16" y="27">${name}</text>
      <text x="16" y="53">${counts}</text>
      <text x="16" y="75">${rates}</text>
    </g>
  </a>`;
}

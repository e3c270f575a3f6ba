import type { MapEdgeRow, NodeRow } from '../snapshot.ts';
import { type DataColumn, DataTable } from './data-table.ts';
import { count, latency, perSecond, several, share } from './format.ts';
import { HistoryTables } from './history-table.ts';
import { LinkFlow } from './link-flow.ts';
import { layoutMap, NODE, type PlacedEdge, type PlacedNode } from './map-layout.ts';
import { classes, html } from './markup.ts';
import { chosen, place } from './navigation.ts';
import { pageHref } from './page-routes.ts';
import { isShown } from './page-shell.ts';
import { noRows, PageHead, standIn } from './page-states.ts';
import { isFailingRow, isOldRow, oldContexts, tables } from './page-store.ts';
import { numberColumn, messageColumn, signalColumns, textColumn, verdictColumn } from './signal-columns.ts';
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
    <${HistoryTables} kind="cluster" />
    <${Panel} title="The same as a table">
      <${DataTable}
        caption="Links between clusters"
        quietCaption=${true}
        rows=${edges}
        columns=${COLUMNS}
        isOld=${isOldRow}
        isFailing=${isFailingRow}
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
  messageColumn(),
];

interface DrawingProps {
  readonly nodes: readonly NodeRow[];
  readonly edges: readonly (readonly [key: string, edge: MapEdgeRow])[];
}

function Drawing({ nodes, edges }: DrawingProps) {
  const layout = layoutMap(
    nodes.map((node) => ({ key: node.cluster, height: heightOf(node) })),
    edges.map(([key, { source, target }]) => ({ key, source, target })),
  );
  const byCluster = new Map(nodes.map((node) => [node.cluster, node]));
  const byKey = new Map(edges);
  const most = Math.max(1, ...edges.map(([, { rps }]) => rps ?? 0));
  const { width, height } = layout;
  return html`<div class="map" role="region" aria-label="Map of clusters and links" tabindex="0">
    <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="group" aria-label="Clusters and links">
      ${layout.edges.map((placed) => lineOf(placed, byKey.get(placed.key), most))}
      ${layout.edges.map((placed) => edgeOf(placed, byKey.get(placed.key)))}
      ${layout.nodes.map((placed) => nodeOf(placed, byCluster.get(placed.key)))}
    </svg>
  </div>`;
}

function edgeTone({ failing, success, context }: MapEdgeRow): string {
  return classes(failing ? 'bad' : successTone(success), oldContexts.value.has(context) && 'old');
}

/** The line alone, below all labels: as thick as the link is busy. */
function lineOf({ key, path, tip }: PlacedEdge, edge: MapEdgeRow | undefined, most: number) {
  if (edge === undefined) return '';
  const stroke = 1.5 + 4.5 * Math.sqrt((edge.rps ?? 0) / most);
  const arrow = 4 + stroke;
  return html`<g key=${`line ${key}`} class=${classes('map-line', edgeTone(edge), chosen('link') === key && 'chosen')}>
    <path class="line" d=${path} stroke-width=${stroke} />
    <path class="tip" d=${`M${tip.x} ${tip.y}l${-tip.towards * 2 * arrow} ${-arrow}v${2 * arrow}z`} />
  </g>`;
}

/** What can be chosen: the label, and all along the line. */
function edgeOf({ key, path, at }: PlacedEdge, edge: MapEdgeRow | undefined) {
  if (edge === undefined) return '';
  const { link, source, target, rps, success, rtt_ms: rtt, failing, reason } = edge;
  const isChosen = chosen('link') === key;
  const query = new URLSearchParams(place.value.query);
  query.set('link', key);
  if (isChosen) query.delete('link');
  const label = [perSecond(rps), ...(rtt === null ? [] : [latency(rtt)])].join(' · ');
  // What is seen stands in what is heard, word for word.
  const words = [
    `Link ${link}, ${source} to ${target}`,
    failing ? `failing, ${reason}` : '',
    label,
    `${share(success)} succeed`,
  ];
  const half = label.length * 3.3 + 16;
  return html`<a
    key=${key}
    href=${`/map?${query.toString()}`}
    class=${classes('map-link', edgeTone(edge), isChosen && 'chosen')}
    aria-label=${words.filter((one) => one !== '').join(': ')}
    aria-current=${isChosen ? 'true' : undefined}
  >
    <path class="hit" d=${path} />
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

/** A cluster that is not asked has less to say. */
function heightOf({ context }: NodeRow): number {
  return context === null ? 64 : NODE.height;
}

/** Longest name that a box has room for, characters; the whole one is in its title and in the table. */
const NAME_ROOM = 22;

type NodeState = 'failing' | 'fine' | 'old' | 'unasked';

const STATE_WORDS: Readonly<Record<NodeState, string>> = {
  failing: 'failing',
  fine: 'fine',
  old: 'silent',
  unasked: 'not asked',
};

function nodeState({ context, failing }: NodeRow): NodeState {
  if (failing) return 'failing';
  if (context === null) return 'unasked';
  return oldContexts.value.has(context) ? 'old' : 'fine';
}

/** Where the state of a cluster is shown: the upper corner at the end of its box. */
const CORNER = { x: NODE.width - 20, y: 22 } as const;

function nodeSign(state: NodeState) {
  const { x, y } = CORNER;
  if (state === 'failing') return html`<path class="sign" d=${`M${x - 4} ${y - 4}l8 8m0-8l-8 8`} />`;
  return html`<circle class=${classes('sign', state !== 'fine' && 'ring')} cx=${x} cy=${y} r="4.5" />`;
}

function nodeOf({ key, x, y }: PlacedNode, node: NodeRow | undefined) {
  if (node === undefined) return '';
  const { cluster, context, reason } = node;
  const state = nodeState(node);
  const [counts, rates] = nodeWords(node);
  const name = cluster.length > NAME_ROOM ? `${cluster.slice(0, NAME_ROOM - 1)}…` : cluster;
  const seen = [name, counts, rates].filter((one) => one !== '').join(' ');
  const words = [
    seen,
    STATE_WORDS[state],
    state === 'failing' ? reason : '',
    name === cluster ? '' : cluster,
  ];
  return html`<a
    key=${key}
    class=${classes('map-node', state, context === null && state !== 'unasked' && 'unasked')}
    href=${context === null ? pageHref('links', [], { q: cluster }) : pageHref('services', [], { cluster: context })}
    aria-label=${`Cluster ${words.filter((one) => one !== '').join(', ')}`}
  >
    ${name === cluster ? '' : html`<title>${cluster}</title>`}
    <g transform=${`translate(${x} ${y})`}>
      <rect width=${NODE.width} height=${heightOf(node)} rx="10" />
      ${nodeSign(state)}
      <text class="title" x="16" y="27">${name}</text>${' '}
      <text x="16" y="50">${counts}</text>${' '}
      <text x="16" y="73">${rates}</text>
    </g>
  </a>`;
}

function nodeWords({ context, services, gateways, egresses, out_rps: out, in_rps: into }: NodeRow) {
  if (context === null) return ['known by Links, not asked', ''] as const;
  const pods = `${several(gateways ?? 0, 'gateway')}, ${several(egresses ?? 0, 'egress', 'egresses')}`;
  return [
    `${several(services ?? 0, 'Service')}, ${pods}`,
    `sends ${perSecond(out)}, gets ${perSecond(into)}`,
  ] as const;
}

import type { LinkShown, TrunkRow } from '../snapshot.ts';
import { type DataColumn, DataTable } from './data-table.ts';
import { age, count, latency } from './format.ts';
import { History } from './history-chart.ts';
import { html } from './markup.ts';
import { pageHref } from './page-routes.ts';
import { noRows, PageHead, Skeleton } from './page-states.ts';
import { clusterOf, isFailingRow, isLoaded, isOldRow, now, tables } from './page-store.ts';
import { reportColumns } from './report-columns.ts';
import { mirrorColumns } from './service-columns.ts';
import { bareTile, SignalTiles, signalTiles } from './signal-tiles.ts';
import { numberColumn, signalColumns, textColumn } from './signal-columns.ts';
import { Ago, Facts, Foreign, Nothing, Panel, Prose, Reason, Trouble } from './small-parts.ts';
import { Status } from './status-mark.ts';
import { failingFirst } from './table-order.ts';
import { addressTone, conditionTone, rowTone } from './tones.ts';

/** All that is known of one Link. */
export function LinkPage({ context, name }: { readonly context: string; readonly name: string }) {
  const entry = Object.entries(tables.links.value).find(
    ([, row]) => row.context === context && row.name === name,
  );
  const back = html`<a class="back" href=${pageHref('links')}>All Links</a>`;
  if (entry === undefined)
    return html`<${PageHead} title=${name}>${back}</${PageHead}>${isLoaded.value ? html`<${Nothing} title="There is no such Link"><p>None of cluster <bdi>${clusterOf(context)}</bdi> is called so; it may have been removed.</p></${Nothing}>` : html`<${Skeleton} />`}`;
  const [, link] = entry;
  return html`<${PageHead} title=${link.name} note=${wayOf(link)}>
      ${back}<${Status} said=${rowTone(link)} />
    </${PageHead}>
    <${Trouble} of=${link} />
    <${SignalTiles} title=${`Requests to ${link.cluster}`} tiles=${tilesOf(link)} />
    <${History} kind="link" cluster=${link.cluster} />
    <div class="columns lead">
      <${Conditions} link=${link} />
      <${About} link=${link} />
    </div>
    <${Gateways} link=${link} />
    <${Mirrors} link=${link} />
    <${Exports} link=${link} />`;
}

function wayOf({ source, context, cluster }: LinkShown) {
  return html`from <bdi>${source ?? clusterOf(context)}</bdi> to <bdi>${cluster}</bdi>`;
}

function tilesOf(link: LinkShown) {
  const spark = Object.values(tables.sparks.value).find(
    (one) => one.kind === 'link' && one.context === link.context && one.name === link.cluster,
  );
  return [
    ...signalTiles(link, spark),
    bareTile('Round trip', latency(link.rtt_ms)),
    bareTile('Streams', count(link.streams)),
  ];
}

type ConditionRow = LinkShown['conditions'][number];

const CONDITION_COLUMNS: readonly DataColumn<ConditionRow>[] = [
  { key: 'type', head: 'Condition', name: true, cell: ({ type }) => type },
  { key: 'status', head: 'Status', cell: ({ status }) => html`<${Status} said=${conditionTone(status)} />` },
  {
    key: 'reason',
    head: 'Reason',
    cell: ({ reason, message, advice, status }) =>
      html`<${Reason} reason=${reason} />${message === '' ? '' : html` <bdi class="message" dir="auto">${message}</bdi>`}${status === 'True' || advice === '' ? '' : html`<span class="message"><${Prose} text=${advice} /></span>`}`,
  },
  {
    key: 'since',
    head: 'Since',
    cell: ({ since }) => (since === null ? '–' : html`<${Ago} at=${Date.parse(since)} suffix="" />`),
  },
];

function Conditions({ link }: { readonly link: LinkShown }) {
  return html`<${Panel} title="Conditions">
    <${DataTable}
      caption=${`Conditions of ${link.name}`}
      quietCaption=${true}
      sortKey="conditions"
      rows=${link.conditions.map((one) => [one.type, one])}
      columns=${CONDITION_COLUMNS}
      empty=${html`<p>Nobody has written a condition yet.</p>`}
    />
  </${Panel}>`;
}

function About({ link }: { readonly link: LinkShown }) {
  const { address, keptBy, credentialsExpireAt, lastWordAt, importPolicy, unwritten, reasons } = link;
  const policy = Object.entries(importPolicy);
  const list = (lines: readonly string[]) =>
    html`<ul>${lines.map((line) => html`<li key=${line}><${Foreign} text=${line} /></li>`)}</ul>`;
  return html`<${Panel} title="About it">
    <${Facts}
      facts=${[
        ['Gateway', address === '' ? 'none' : html`<bdi>${address}</bdi>`],
        ['Credentials', credentials(credentialsExpireAt)],
        ['API server last heard', lastWordAt === null ? 'not known' : html`<${Ago} at=${lastWordAt} />`],
        ['Kept by', html`<bdi>${keptBy ?? 'no replica'}</bdi>`],
        [
          'Import policy',
          policy.length === 0 ? 'the defaults' : list(policy.map(([key, value]) => `${key}: ${value}`)),
        ],
        [
          'Exports',
          Object.keys(reasons).length === 0
            ? 'not known'
            : html`<ul>${Object.entries(reasons).map(([reason, number]) => html`<li key=${reason}>${count(number)} <${Reason} reason=${reason} /></li>`)}</ul>`,
        ],
        ...(unwritten.length === 0 ? [] : [['Not written', list(unwritten)]]),
      ]}
    />
  </${Panel}>`;
}

function credentials(until: string | null) {
  if (until === null) return 'no end is known';
  const left = (Date.parse(until) - now.value) / 1000;
  if (left <= 0) return html`<${Status} said=${{ tone: 'bad', word: `ended ${age(-left)} ago` }} />`;
  return html`<${Status} said=${{ tone: left < 86_400 ? 'warn' : 'good', word: `end in ${age(left)}` }} />`;
}

interface Address extends Pick<TrunkRow, 'address' | 'state'> {
  /** The egress pod, or the controllers. */
  readonly by: string;
  readonly detail: string;
  readonly rps: number | null;
  readonly success: number | null;
  readonly rtt: number | null;
  readonly streams: number | null;
  readonly connections: number | null;
}

const ADDRESS_COLUMNS: readonly DataColumn<Address>[] = [
  {
    key: 'address',
    head: 'Address',
    name: true,
    sort: ({ address }) => address,
    cell: ({ address }) => html`<bdi>${address}</bdi>`,
  },
  textColumn('by', 'As seen by', ({ by }) => by),
  {
    key: 'state',
    head: 'State',
    sort: ({ state }) => state,
    cell: ({ state }) => html`<${Status} said=${addressTone(state)} />`,
  },
  numberColumn('rtt', 'Round trip', ({ rtt }) => rtt, latency),
  numberColumn('connections', 'Connections', ({ connections }) => connections, count),
  numberColumn('streams', 'Streams', ({ streams }) => streams, count),
  ...signalColumns<Address>(),
  {
    key: 'detail',
    head: 'Word',
    cell: ({ detail }) => html`<bdi class="message" dir="auto">${detail}</bdi>`,
  },
];

function Gateways({ link }: { readonly link: LinkShown }) {
  const probes = (link.probes ?? []).map((probe): Address => {
    const { address, state, reason = '', message, latencyMs = null } = probe;
    const detail = [reason, message].filter((one) => one !== '').join(': ');
    const none = { rps: null, success: null, streams: null, connections: null };
    return { address, state, by: 'controllers (probes)', detail, rtt: latencyMs, ...none };
  });
  const trunks = link.trunks.map((trunk): Address => {
    const { address, state, pod, rps, success, rtt_ms: rtt, streams, connections = null, mode = '' } = trunk;
    const detail =
      mode === 'header' ? 'a connection for each flow' : mode === 'streams' ? 'flows share connections' : '';
    return { address, state, by: pod, detail, rps, success, rtt, streams, connections };
  });
  const rows = [...probes, ...trunks].map((row) => [`${row.by} ${row.address}`, row] as const);
  return html`<${Panel} title="Gateway addresses" note="by probes, and by the requests of each egress pod">
    <${DataTable}
      caption=${`Gateway addresses of ${link.cluster}`}
      quietCaption=${true}
      sortKey="addresses"
      rows=${rows}
      columns=${ADDRESS_COLUMNS}
      isFailing=${({ state }: Address) => state === 'dead'}
      empty=${html`<p>No address is known: mirrors are flat, or the gateway has none yet.</p>`}
    />
  </${Panel}>`;
}

const MIRROR_COLUMNS = mirrorColumns();
const REPORTS = reportColumns();

function Mirrors({ link }: { readonly link: LinkShown }) {
  const rows = failingFirst(
    tables.mirrors.value,
    (row) => row.context === link.context && row.cluster === link.cluster,
  );
  return html`<${Panel} title="Mirrors" note="with both ends, where both clusters are asked">
    <${DataTable}
      caption=${`Mirrors of ${link.cluster}`}
      quietCaption=${true}
      rows=${rows}
      columns=${MIRROR_COLUMNS}
      isOld=${isOldRow}
      isFailing=${isFailingRow}
      empty=${noRows('mirror', false)}
    />
  </${Panel}>`;
}

/** Exports that have no mirror, or one that is not as it should be. */
function Exports({ link }: { readonly link: LinkShown }) {
  const rows = Object.entries(tables.reports.value)
    .filter(([, row]) => row.context === link.context && row.link === link.name && row.reason !== 'Mirrored')
    .sort(([, a], [, b]) => Number(b.failing) - Number(a.failing) || (a.service < b.service ? -1 : 1));
  if (rows.length === 0) return '';
  return html`<${Panel} title="Not mirrored, and why">
    <${DataTable}
      caption=${`Services of ${link.cluster} that are not mirrored`}
      quietCaption=${true}
      sortKey="reports"
      rows=${rows}
      columns=${REPORTS}
      isOld=${isOldRow}
      isFailing=${isFailingRow}
      empty=""
    />
  </${Panel}>`;
}

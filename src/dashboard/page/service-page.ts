import type { ServiceAnswer } from '../answers.ts';
import { ErrorNotice, useAnswer } from './asked-answer.ts';
import { type DataColumn, DataTable } from './data-table.ts';
import { fullName, perSecond, rate, several, share } from './format.ts';
import { History } from './history-chart.ts';
import { html } from './markup.ts';
import { pageHref } from './page-routes.ts';
import { PageHead, Skeleton, noRows } from './page-states.ts';
import { clusterOf, isFailingRow, isLoaded, isOldRow, tables } from './page-store.ts';
import { relatedNames } from './related-names.ts';
import { reportColumns, type ReportShown } from './report-columns.ts';
import {
  edgeColumns,
  type EdgeShown,
  mirrorColumns,
  type MirrorRow,
  serviceColumns,
  type ServiceRow,
} from './service-columns.ts';
import { latencyColumns, numberColumn, messageColumn, signalColumns, textColumn } from './signal-columns.ts';
import { bareTile, SignalTiles, signalTiles } from './signal-tiles.ts';
import { Foreign, Nothing, Panel, Prose, Reason, Trouble } from './small-parts.ts';
import { Mark, Status } from './status-mark.ts';
import { failingFirst } from './table-order.ts';
import { rowTone } from './tones.ts';
import { WhereBar } from './where-bar.ts';

const SERVICES = serviceColumns();
const MIRRORS = mirrorColumns();
const EDGES = edgeColumns();
const REPORTS = reportColumns();

interface Name {
  readonly namespace: string;
  readonly name: string;
}

/** All that is known of a name: where it is exported, mirrored, asked for, and by whom. */
export function ServicePage({ namespace, name }: Name) {
  const whole = fullName({ namespace, name });
  const reports = Object.entries(tables.reports.value);
  const names = relatedNames(
    reports.map(([, report]) => report),
    whole,
  );
  const isIt = (row: Name) => names.has(fullName(row));
  const services = failingFirst<ServiceRow>(tables.services.value, isIt);
  const mirrors = failingFirst<MirrorRow>(tables.mirrors.value, isIt);
  const edges = failingFirst<EdgeShown>(tables.edges.value, (row) =>
    names.has(fullName({ namespace: row.dst_namespace, name: row.dst })),
  );
  const rows = [...mirrors, ...services].map(([, row]) => row);
  const own = rows.filter((row) => fullName(row) === whole);
  const worst = [...own, ...rows].find(({ failing }) => failing) ?? own[0] ?? rows[0];
  const back = html`<a class="back" href=${pageHref('services')}>All Services</a>`;
  if (worst === undefined && !isLoaded.value)
    return html`<${PageHead} title=${whole}>${back}</${PageHead}><${Skeleton} />`;
  return html`<${PageHead} title=${whole} note=${worst === undefined ? undefined : noteOf(services.length, mirrors.length)}>
      ${back}${worst === undefined ? '' : html`<${Status} said=${rowTone(worst)} />`}
    </${PageHead}>
    ${worst === undefined ? html`<${Nothing} title="Nobody has counted it, and it is neither exported nor mirrored"><p>What controllers know of the name stands below, if they know it.</p></${Nothing}>` : shown({ worst, services, mirrors, edges, whole })}
    <${Reports} rows=${reports.filter(([, { service }]) => names.has(service))} />
    <${Routes} of=${{ namespace, name }} />
    ${knownAs(rows, { namespace, name }).map(
      ({ context, ...of }) =>
        html`<${Known}
        key=${`${context} ${fullName(of)}`}
        context=${context}
        of=${of}
        isQuiet=${rows.length > 0}
      />`,
    )}`;
}

/** What it is called in each cluster that has it; in all of them so where none is known to have it. */
function knownAs(rows: readonly (MirrorRow | ServiceRow)[], asked: Name): (Name & { context: string })[] {
  if (rows.length === 0) return Object.keys(tables.contexts.value).map((context) => ({ context, ...asked }));
  const all = rows.map(({ context, namespace, name }) => ({ context, namespace, name }));
  return [...new Map(all.map((one) => [`${one.context} ${fullName(one)}`, one])).values()];
}

function noteOf(services: number, mirrors: number): string {
  const parts = [
    ...(services > 0 ? [`counted at ${several(services, 'end')}`] : []),
    ...(mirrors > 0 ? [`${several(mirrors, 'way')} to other clusters`] : []),
  ];
  return parts.join(', ');
}

interface ShownParts {
  readonly worst: MirrorRow | ServiceRow;
  readonly services: readonly (readonly [string, ServiceRow])[];
  readonly mirrors: readonly (readonly [string, MirrorRow])[];
  readonly edges: readonly (readonly [string, EdgeShown])[];
  readonly whole: string;
}

function shown({ worst, services, mirrors, edges, whole }: ShownParts) {
  const ends = mirrors.find(([, row]) => row.ends !== undefined)?.[1].ends;
  return html`<${Trouble} of=${worst} />
    <${SignalTiles} title=${`Requests to ${whole}`} tiles=${tilesOf(worst)} />
    <${History} kind="service" cluster=${worst.kind === 'mirror' ? worst.cluster : ''} of=${worst} />
    ${ends === undefined ? '' : html`<${Panel} title="Where time goes" note="of the slowest in a hundred; the word is where most of the median goes"><${WhereBar} ends=${ends} wide=${true} /></${Panel}>`}
    ${
      mirrors.length === 0
        ? ''
        : html`<${Panel} title="Ways to other clusters">
            <${DataTable} caption=${`Mirrors of ${whole}`} quietCaption=${true} sortKey="mirrors" rows=${mirrors} columns=${MIRRORS} isOld=${isOldRow} isFailing=${isFailingRow} empty="" />
          </${Panel}>`
    }
    ${
      services.length === 0
        ? ''
        : html`<${Panel} title="At each end">
            <${DataTable} caption=${`${whole} at each end`} quietCaption=${true} sortKey="ends" rows=${services} columns=${SERVICES} isOld=${isOldRow} isFailing=${isFailingRow} empty="" />
          </${Panel}>`
    }
    <${Panel} title="Who asks">
      <${DataTable} caption=${`Clients of ${whole}`} quietCaption=${true} sortKey="edges" rows=${edges} columns=${EDGES} isOld=${isOldRow} isFailing=${isFailingRow} empty=${noRows('client', false)} />
    </${Panel}>`;
}

function tilesOf(row: MirrorRow | ServiceRow) {
  const spark = Object.values(tables.sparks.value).find(
    (one) =>
      (one.kind === 'service' || one.kind === 'mirror') &&
      one.context === row.context &&
      one.namespace === row.namespace &&
      one.name === row.name &&
      (row.side === null || one.side === row.side),
  );
  return [
    ...signalTiles(row, spark),
    bareTile('In flight', rate(row.in_flight)),
    bareTile('Retries', perSecond(row.retries)),
  ];
}

/** What became of it in the clusters that link its own: why it is mirrored, or not. */
function Reports({ rows }: { readonly rows: readonly (readonly [string, ReportShown])[] }) {
  if (rows.length === 0) return '';
  return html`<${Panel} title="What became of it">
    <${DataTable}
      caption="What became of it in clusters that link its own"
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

type RouteShown = (typeof tables.routes.value)[string];

const ROUTES: readonly DataColumn<RouteShown>[] = [
  {
    key: 'route',
    head: 'Route',
    name: true,
    sort: ({ route }) => route,
    cell: ({ route }) => html`<bdi>${route}</bdi>`,
  },
  textColumn('cluster', 'Cluster', ({ cluster }) => cluster),
  textColumn('side', 'Seen at', ({ side }) => side),
  ...signalColumns<RouteShown>(),
  ...latencyColumns<RouteShown>(),
  numberColumn('retries', 'Retries/s', ({ retries }) => retries, rate),
  numberColumn('timeouts', 'Timeouts/s', ({ timeouts }) => timeouts, rate),
  numberColumn('actual', 'Success of tries', (row) => row.actual_success, share),
  messageColumn(),
];

function Routes({ of }: { readonly of: Name }) {
  const rows = failingFirst<RouteShown>(
    tables.routes.value,
    (row) => row.namespace === of.namespace && row.service === of.name,
  );
  if (rows.length === 0) return '';
  return html`<${Panel} title="Routes">
    <${DataTable} caption=${`Routes of ${of.name}`} quietCaption=${true} sortKey="routes" rows=${rows} columns=${ROUTES} isOld=${isOldRow} empty="" />
  </${Panel}>`;
}

interface KnownProps {
  readonly context: string;
  readonly of: Name;
  /** Whether it is left out where nothing is known. */
  readonly isQuiet: boolean;
}

/**
 * What controllers and the API server of one cluster know of the name. It is asked for when somebody looks.
 */
function Known({ context, of, isQuiet }: KnownProps) {
  const query = new URLSearchParams({ context, namespace: of.namespace, name: of.name });
  const { value, error } = useAnswer<ServiceAnswer>(`/api/service.json?${query.toString()}`);
  const title = `${fullName(of)}, as ${clusterOf(context)} knows it`;
  if (error !== undefined)
    return html`<${ErrorNotice} error=${error} label=${`${clusterOf(context)} does not say what it knows`} />`;
  if (value === undefined)
    return html`<${Panel} title=${title}><div class="skeleton block"></div></${Panel}>`;
  const { explanations, policy, ports, problems, unread } = value;
  const isEmpty = explanations.length + policy.length + ports.length + problems.length === 0;
  if (isEmpty && isQuiet && unread.length === 0) return '';
  return html`<${Panel} title=${title}>
    ${isEmpty ? html`<p class="muted">Nothing.</p>` : ''}
    ${[...problems, ...unread].map((line) => html`<p class="problem" key=${line}><${Mark} tone="warn" /><${Foreign} text=${line} /></p>`)}
    <div class="columns">
      ${explanations.map(
        (one) => html`<div key=${`${one.link} ${one.kind}`} class="explanation">
        <h3>${one.kind === 'federated' ? 'Member' : 'Mirror'} by <bdi>${one.link}</bdi></h3>
        <p><${Reason} reason=${one.reason} /> <${Prose} text=${one.meaning} /></p>
        ${one.message === '' ? '' : html`<p><${Foreign} text=${one.message} /></p>`}
        <p class="muted">${one.exported ? html`Exported by <bdi>${one.selectedBy ?? 'its label'}</bdi>, mode ${one.mode}; ${one.remote.ready} of ${one.remote.known} endpoints there` : 'Not exported there'}</p>
      </div>`,
      )}
      ${policy.length === 0 ? '' : html`<div><h3>Annotations</h3><dl class="policy">${policy.map(({ name, value: text }) => html`<div key=${name}><dt><code>${name}</code></dt><dd><${Foreign} text=${text} /></dd></div>`)}</dl></div>`}
      ${ports.length === 0 ? '' : html`<div><h3>Ports</h3><ul>${ports.map(({ name, port, protocol }) => html`<li key=${`${name} ${port}`}><strong>${port}</strong> ${protocol} <span class="muted">${name}</span></li>`)}</ul></div>`}
    </div>
  </${Panel}>`;
}

import type { CardRow } from '../snapshot.ts';
import { orderedCards } from './card-order.ts';
import { type DataColumn, DataTable } from './data-table.ts';
import { fullName, perSecond, rate, several } from './format.ts';
import { html } from './markup.ts';
import { pageHref } from './page-routes.ts';
import { isShown } from './page-shell.ts';
import { noRows, PageHead, standIn } from './page-states.ts';
import { contexts, isFailingRow, isOldRow, meta, oldContexts, stateOf, tables } from './page-store.ts';
import { bareTile, SignalTiles, signalTiles, type Tile } from './signal-tiles.ts';
import {
  endpointsColumn,
  latencyColumns,
  nameColumn,
  signalColumns,
  textColumn,
  verdictColumn,
} from './signal-columns.ts';
import { Advice, Ago, Foreign, Panel, Reason } from './small-parts.ts';
import { Mark } from './status-mark.ts';
import { failingFirst } from './table-order.ts';
import { installationTone } from './tones.ts';

/** What fails, first; and how requests fare on the whole. */
export function NowPage() {
  const cards = orderedCards(tables.cards.value).filter(([, card]) => isShown(card));
  const blank = standIn();
  const title =
    cards.length === 0
      ? isAllKnown()
        ? 'Nothing fails'
        : 'Nothing is known to fail'
      : several(cards.length, 'thing fails', 'things fail');
  return html`<${PageHead} title=${blank === undefined ? title : 'Now'} note=${blank === undefined ? windowNote() : undefined} />
    ${
      blank ??
      html`${cards.length === 0 ? allWell() : html`<ul class="cards">${cards.map(([key, card]) => html`<${FailureCard} key=${key} card=${card} />`)}</ul>`}
        <${SignalTiles} title="All requests across clusters" tiles=${tilesOfAll()} />
        <${BusiestServices} />`
    }`;
}

function windowNote() {
  const seconds = Math.round((meta.value?.windowMs ?? 0) / 1000);
  const isQuiet = contexts.value.every(({ traffic }) => !traffic);
  return isQuiet ? `No traffic in the last ${seconds} s.` : `Numbers are of the last ${seconds} s.`;
}

/** Whether everybody has answered, and just now: else nothing is known of the rest. */
function isAllKnown(): boolean {
  return contexts.value.every((row) => installationTone(stateOf(row), row.controller).tone === 'good');
}

function allWell() {
  const asked = contexts.value.reduce((sum, row) => sum + row.asked, 0);
  const answered = contexts.value.reduce((sum, row) => sum + row.answered, 0);
  const pods = html`<span class="muted">${answered} of ${asked} pods answered.</span>`;
  if (!isAllKnown())
    return html`<p class="all-well in-part"><${Mark} tone="idle" />Of what is known nothing fails; above stands what is not known. ${pods}</p>`;
  return html`<p class="all-well">
    <${Mark} tone="good" />Every Link, mirror, gateway and certificate that could be asked about is as it should be. ${pods}
  </p>`;
}

const KINDS: Readonly<Record<CardRow['kind'], string>> = {
  cluster: 'Cluster',
  link: 'Link',
  gateway: 'Gateway',
  certificate: 'Certificate',
  process: 'Process',
  mirror: 'Mirror',
  service: 'Service',
};

function hrefOf({ kind, context, namespace, name }: CardRow): string {
  if (kind === 'link' || kind === 'gateway') return pageHref('links', kind === 'link' ? [context, name] : []);
  if (kind === 'mirror' || kind === 'service') return pageHref('services', [namespace || '-', name]);
  return kind === 'cluster' ? pageHref('map') : pageHref('processes', [], { q: name });
}

function FailureCard({ card }: { readonly card: CardRow }) {
  const { kind, cluster, to, reason, message, advice, command, context } = card;
  const old = oldContexts.value.has(context);
  return html`<li class=${`card${old ? ' old' : ''}`}>
    <p class="card-kind">
      <${Mark} tone="bad" />${KINDS[kind]}
      <span class="way"><bdi>${cluster}</bdi>${to === null || to === cluster ? '' : html` <span aria-label="to">→</span> <bdi>${to}</bdi>`}</span>
      <span class="since">${sinceText(card)}</span>
    </p>
    <h2><a href=${hrefOf(card)}><bdi>${fullName(card)}</bdi></a></h2>
    <p class="card-reason"><${Reason} reason=${reason} /></p>
    ${message === '' ? '' : html`<p class="card-message"><${Foreign} text=${message} /></p>`}
    ${affected(card)}
    <div class="card-advice"><${Advice} text=${advice} command=${command} /></div>
  </li>`;
}

function sinceText({ since, sinceBy }: CardRow) {
  if (since === null) return '';
  return html`for <${Ago} at=${since} suffix=${sinceBy === 'told' ? '' : 'or longer'} />`;
}

/** What it costs: how many mirrors, and how many requests. */
function affected({ mirrors, firstMirrors, rps }: CardRow) {
  const parts = [
    ...(mirrors > 0 ? [html`<strong>${several(mirrors, 'mirror')}</strong> affected`] : []),
    ...(rps !== null && rps > 0 ? [html`<strong>${rate(rps)}</strong> requests/s`] : []),
  ];
  if (parts.length === 0) return '';
  const more = mirrors - firstMirrors.length;
  return html`<p class="card-cost">${parts.map((one, at) => html`${at === 0 ? '' : ' · '}${one}`)}
    ${firstMirrors.length === 0 ? '' : html`<span class="card-mirrors"><bdi>${firstMirrors.join(', ')}</bdi>${more > 0 ? ` and ${more} more` : ''}</span>`}
  </p>`;
}

/** Signals at the egress, which is what clients get; where there is none, at the gateway. */
function tilesOfAll(): Tile[] {
  const all = Object.values(tables.signals.value).filter((row) => isShown(row));
  const own = ['egress', 'gateway'].map((side) =>
    all.find((row) => row.side === side && isWhole(row.context, all)),
  );
  const row = own.find((one) => one !== undefined && one.rps !== null) ?? own[0] ?? own[1];
  const spark = Object.values(tables.sparks.value).find(
    (one) => one.kind === 'all' && one.side === row?.side && one.context === row.context,
  );
  const errors = row === undefined ? null : Object.values(row.errors).reduce((total, one) => total + one, 0);
  return [
    ...signalTiles(row, spark),
    bareTile('In flight', rate(row?.in_flight)),
    bareTile('Ended by Linkspan', perSecond(errors)),
  ];
}

/** All together where several are shown, else the one. */
function isWhole(context: string, all: readonly { readonly context: string }[]): boolean {
  return all.some((row) => row.context === '') ? context === '' : true;
}

type ServiceRow = (typeof tables.services.value)[string];

const COLUMNS: readonly DataColumn<ServiceRow>[] = [
  nameColumn('Service', ({ namespace, name }) => pageHref('services', [namespace || '-', name])),
  textColumn('cluster', 'Cluster', ({ cluster }) => cluster),
  textColumn('side', 'Seen at', ({ side }) => side),
  verdictColumn(),
  ...signalColumns<ServiceRow>(),
  ...latencyColumns<ServiceRow>(),
  endpointsColumn(),
];

function BusiestServices() {
  const rows = failingFirst(tables.services.value, isShown).slice(0, 12);
  const all = Object.keys(tables.services.value).length;
  const note = all > rows.length ? html`<a href=${pageHref('services')}>All ${all}</a>` : undefined;
  return html`<${Panel} title="Services: failing, then busiest" note=${note}>
    <${DataTable}
      caption="Services that fail, and the busiest"
      quietCaption=${true}
      rows=${rows}
      columns=${COLUMNS}
      isOld=${isOldRow}
      isFailing=${isFailingRow}
      empty=${noRows('Service', false)}
    />
  </${Panel}>`;
}

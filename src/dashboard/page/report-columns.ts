import type { DataColumn } from './data-table.ts';
import { html } from './markup.ts';
import type { tables } from './page-store.ts';
import { textColumn } from './signal-columns.ts';
import { Ago, Reason } from './small-parts.ts';

/** A Service of a linked cluster, and what became of it. */
export type ReportShown = (typeof tables.reports.value)[string];

export function reportColumns(): DataColumn<ReportShown>[] {
  return [
    {
      key: 'service',
      head: 'Service there',
      name: true,
      sort: ({ service }) => service,
      text: ({ service }) => service,
      cell: ({ service }) => html`<bdi>${service}</bdi>`,
    },
    textColumn('of', 'Of', ({ cluster }) => cluster),
    textColumn('local', 'Name here', ({ local }) => local),
    textColumn('mode', 'Mode', ({ mode }) => mode),
    {
      key: 'reason',
      head: 'Reason',
      sort: ({ reason }) => reason,
      cell: ({ reason, message }) =>
        html`<${Reason} reason=${reason} /> <bdi class="message" dir="auto">${message}</bdi>`,
    },
    {
      key: 'since',
      head: 'Since',
      sort: ({ since }) => since,
      cell: ({ since }) =>
        Number.isNaN(Date.parse(since)) ? '–' : html`<${Ago} at=${Date.parse(since)} suffix="" />`,
    },
  ];
}

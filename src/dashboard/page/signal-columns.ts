import type { VNode } from 'preact';
import type { DataColumn } from './data-table.ts';
import { fullName, latency, part, rate, share } from './format.ts';
import { html, kept } from './markup.ts';
import { Reason } from './small-parts.ts';
import { Status } from './status-mark.ts';
import { rowTone, successTone } from './tones.ts';

/** Columns that tables of several pages have. */

interface Signals {
  readonly success: number | null;
  readonly rps: number | null;
}

interface Latencies {
  readonly latency_ms_p50: number | null;
  readonly latency_ms_p95: number | null;
  readonly latency_ms_p99: number | null;
}

interface Judged {
  readonly failing: boolean;
  readonly reason: string;
  readonly message: string;
}

/** The share of requests that succeed; where it is low also by the weight of its letters. */
export function successShare({ success }: Pick<Signals, 'success'>): VNode {
  return drawnShare(successTone(success), share(success));
}

const drawnState = kept((tone = '', word = '', reason = '') => {
  const status = html`<${Status} said=${{ tone, word }} />`;
  return html`<span>${status}${reason === '' || reason === 'Mirrored' ? '' : html` <${Reason} reason=${reason} />`}</span>`;
});
const drawnShare = kept((tone = '', text = '') => html`<span class=${`share ${tone}`}>${text}</span>`);
const drawnName = kept((namespace = '', name = '', to = '') => {
  const text = html`<bdi>${namespace === '' ? '' : html`<span class="namespace">${namespace}/</span>`}${name}</bdi>`;
  return to === '' ? text : html`<a href=${to}>${text}</a>`;
});
const drawnText = kept((text = '') => html`<bdi>${text}</bdi>`);

/** State, and for which reason. */
export function verdictColumn<T extends Judged & { readonly rps?: number | null }>(): DataColumn<T> {
  return {
    key: 'status',
    head: 'State',
    sort: ({ failing, reason }) => (failing ? 0 : reason === '' ? 2 : 1),
    cell: (row) => {
      const { tone, word } = rowTone(row);
      return drawnState(tone, word, row.reason);
    },
  };
}

/** What the reason says in this case: the last column, as it is the longest. */
export function messageColumn<T extends Judged>(): DataColumn<T> {
  return {
    key: 'message',
    head: 'Message',
    has: ({ message }) => message !== '',
    cell: ({ message }) => (message === '' ? '' : html`<bdi class="message" dir="auto">${message}</bdi>`),
  };
}

/** Success and requests each second. */
export function signalColumns<T extends Signals>(): DataColumn<T>[] {
  return [
    {
      key: 'success',
      head: 'Success',
      number: true,
      sort: ({ success }) => success,
      cell: successShare,
    },
    { key: 'rps', head: 'Req/s', number: true, sort: ({ rps }) => rps, cell: ({ rps }) => rate(rps) },
  ];
}

/** Quantiles of the time to the first byte. */
export function latencyColumns<T extends Latencies>(): DataColumn<T>[] {
  return (['p50', 'p95', 'p99'] as const).map((name) => ({
    key: name,
    head: name,
    number: true,
    sort: (row) => row[`latency_ms_${name}`],
    cell: (row) => latency(row[`latency_ms_${name}`]),
  }));
}

interface HasEndpoints {
  readonly endpoints: { readonly ready: number; readonly known: number } | null;
}

export function endpointsColumn<T extends HasEndpoints>(): DataColumn<T> {
  return {
    key: 'endpoints',
    head: 'Endpoints',
    number: true,
    sort: ({ endpoints }) => endpoints?.ready ?? null,
    cell: ({ endpoints }) => part(endpoints),
  };
}

interface Named {
  readonly namespace: string;
  readonly name: string;
}

/** Namespace and name, as a way to the page of it. @param href undefined: there is none */
export function nameColumn<T extends Named>(
  head: string,
  href: (row: T) => string | undefined,
): DataColumn<T> {
  return {
    key: 'name',
    head,
    name: true,
    sort: fullName,
    text: fullName,
    cell: (row) => drawnName(row.namespace, row.name, href(row) ?? ''),
  };
}

/** A word in a column, where it is not empty. */
export function textColumn<T>(
  key: string,
  head: string,
  text: (row: T) => string | null | undefined,
): DataColumn<T> {
  return {
    key,
    head,
    sort: (row) => text(row) || null,
    cell: (row) => drawnText(text(row) || '–'),
  };
}

/** A number in a column. */
export function numberColumn<T>(
  key: string,
  head: string,
  value: (row: T) => number | null | undefined,
  write: (value: number | null | undefined) => string,
): DataColumn<T> {
  return { key, head, number: true, sort: (row) => value(row) ?? null, cell: (row) => write(value(row)) };
}

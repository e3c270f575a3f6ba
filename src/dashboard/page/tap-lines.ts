import type { TapLine } from '../answers.ts';

/** What the page keeps of a tap, and adds up of it. Pure. */

type Flow = Extract<TapLine['event'], { type: 'flow' | 'open' }>;

/** A request or raw connection, as a line. */
export interface TapRow {
  readonly key: string;
  readonly at: number;
  readonly isOpen: boolean;
  readonly process: string;
  readonly context: string;
  readonly pod: string;
  readonly client: string;
  /** Whether the client has proven who it is. */
  readonly proven: boolean;
  readonly target: string;
  readonly cluster: string;
  readonly endpoint: string;
  readonly method: string;
  readonly path: string;
  readonly status: string;
  readonly failing: boolean;
  readonly firstMs: number | null;
  readonly totalMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly tries: number;
  /** What went wrong. */
  readonly word: string;
}

/** As many lines as are kept. */
export const MOST_LINES = 500;

export function tapRow(flow: Flow, pod: string, context: string): TapRow {
  const { client, target, failure = '', status = 0, firstByteMs = null, tries = 1 } = flow;
  return {
    key: `${context} ${pod} ${flow.id}`,
    at: flow.at,
    isOpen: flow.type === 'open',
    process: flow.process,
    context,
    pod,
    client: firstOf(client.identity, client.address),
    proven: client.proven,
    target: `${target.namespace === undefined ? '' : `${target.namespace}/`}${target.name}:${target.port}`,
    cluster: firstOf(target.cluster),
    endpoint: firstOf(flow.gateway, flow.endpoint),
    method: firstOf(flow.method, flow.protocol),
    path: firstOf(flow.path),
    status: statusWords(flow),
    failing: failure !== '' || status >= 500,
    firstMs: firstByteMs,
    totalMs: flow.totalMs,
    bytesIn: flow.bytesIn,
    bytesOut: flow.bytesOut,
    tries,
    word: wordsOf(flow),
  };
}

function firstOf(...words: readonly (string | undefined)[]): string {
  return words.find((word) => word !== undefined) ?? '';
}

function statusWords({ status, grpcStatus }: Flow): string {
  const words = [
    status === undefined ? '' : String(status),
    grpcStatus === undefined ? '' : `grpc ${grpcStatus}`,
  ];
  return words.filter((one) => one !== '').join(' ');
}

function wordsOf({ failure = '', reason = '', fault }: Flow): string {
  const words = [failure, reason, fault === undefined ? '' : `fault: ${fault}`];
  return words.filter((one) => one !== '').join(': ');
}

/** With newer lines before the others; one that was open and has ended takes its place. */
export function withRows(known: readonly TapRow[], news: readonly TapRow[]): readonly TapRow[] {
  const latest = new Map(news.map((row) => [row.key, row]));
  const kept = known.filter(({ key }) => !latest.has(key));
  return [...[...latest.values()].reverse(), ...kept].slice(0, MOST_LINES);
}

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
  const { client, target, failure = '', reason = '', fault = '' } = flow;
  const where = target.namespace === undefined ? target.name : `${target.namespace}/${target.name}`;
  const grpc = flow.grpcStatus === undefined ? '' : `grpc ${flow.grpcStatus}`;
  const status = [flow.status === undefined ? '' : String(flow.status), grpc];
  return {
    key: `${context} ${pod} ${flow.id}`,
    at: flow.at,
    isOpen: flow.type === 'open',
    process: flow.process,
    context,
    pod,
    client: client.identity ?? client.address ?? '',
    proven: client.proven,
    target: `${where}:${target.port}`,
    cluster: target.cluster ?? '',
    endpoint: flow.gateway ?? flow.endpoint ?? '',
    method: flow.method ?? flow.protocol,
    path: flow.path ?? '',
    status: status.filter((one) => one !== '').join(' '),
    failing: failure !== '' || (flow.status ?? 0) >= 500,
    firstMs: flow.firstByteMs ?? null,
    totalMs: flow.totalMs,
    bytesIn: flow.bytesIn,
    bytesOut: flow.bytesOut,
    tries: flow.tries ?? 1,
    word: [failure, reason, fault === '' ? '' : `fault: ${fault}`].filter((one) => one !== '').join(': '),
  };
}

/** With newer lines before the others; one that was open and has ended takes its place. */
export function withRows(known: readonly TapRow[], news: readonly TapRow[]): readonly TapRow[] {
  const latest = new Map(news.map((row) => [row.key, row]));
  const kept = known.filter(({ key }) => !latest.has(key));
  return [...[...latest.values()].reverse(), ...kept].slice(0, MOST_LINES);
}

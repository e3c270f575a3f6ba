/**
 * `open-loop.mts RPS [NAME]`: asks a Service by every protocol, on schedule, whatever comes back and however
 * long it takes (an open loop), until its standard input ends and what is in hand has ended. What a request
 * took is counted from when it was due, so that a client that is late hides nothing. `NAME` is the host of
 * the Service, with the ports 80 (HTTP/1), 81 (HTTP/2 and gRPC) and 82 (raw); without it, each line of the
 * standard input is a list of `Places` as JSON, among which each new connection takes one, as kube-proxy does
 * it. Each request is a line of standard output: a `Sample` as JSON.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import {
  type Client,
  http1Client,
  http2Client,
  keptRawClient,
  newRawClient,
  type Place,
} from './open-loop-clients.mts';

/** Where the ports of the Service are reached. */
export interface Places {
  readonly http: readonly Place[];
  readonly http2: readonly Place[];
  readonly raw: readonly Place[];
  /** A member itself, past everything: what the machine does to requests. */
  readonly direct?: readonly Place[];
}

/** One request: index of its stream, when it was due, how long it took, who answered, or why nobody has. */
export type Sample = readonly [stream: number, dueMs: number, tookMs: number, by: string, failure: string];

export interface Stream {
  readonly protocol: string;
  /** Whether its requests may be sent twice. */
  readonly isIdempotent: boolean;
}

/** In turns, each as often as the others. */
export const STREAMS: readonly Stream[] = [
  { protocol: 'HTTP/1 kept', isIdempotent: true },
  { protocol: 'HTTP/2', isIdempotent: true },
  { protocol: 'gRPC', isIdempotent: false },
  { protocol: 'HTTP/1 new', isIdempotent: true },
  { protocol: 'raw new', isIdempotent: false },
  { protocol: 'HTTP/1 kept', isIdempotent: false },
  { protocol: 'HTTP/2', isIdempotent: false },
  { protocol: 'gRPC', isIdempotent: false },
  { protocol: 'HTTP/1 new', isIdempotent: false },
  { protocol: 'raw kept', isIdempotent: false },
];

/** The index of the requests that go to a member itself, where there are any: HTTP/1, kept, GET. */
export const DIRECT = STREAMS.length;

/** Milliseconds of a clock that all processes of a machine share and nobody sets. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function clientsOf(places: () => Places): readonly Client[] {
  const choose = (port: keyof Places) => () => {
    const all = places()[port] ?? [];
    const place = all[Math.floor(Math.random() * all.length)];
    if (place === undefined) throw new Error('the Service has no endpoints');
    return place;
  };
  const [http, http2, raw] = [choose('http'), choose('http2'), choose('raw')];
  return [
    http1Client('GET', http, true),
    http2Client('GET', http2),
    http2Client('gRPC', http2),
    http1Client('GET', http, false),
    newRawClient(raw),
    http1Client('POST', http, true),
    http2Client('POST', http2),
    http2Client('gRPC', http2),
    http1Client('POST', http, false),
    keptRawClient(raw),
    ...(places().direct === undefined ? [] : [http1Client('GET', choose('direct'), true)]),
  ];
}

if (import.meta.main) {
  const [, , rate = '200', name] = process.argv;
  let places: Places = { http: [], http2: [], raw: [] };
  if (name !== undefined) {
    const at = (port: number) => [{ host: name, port }];
    places = { http: at(80), http2: at(81), raw: at(82) };
  }
  const input = createInterface({ input: process.stdin });
  const firstLine = name === undefined ? once(input, 'line') : Promise.resolve();
  input.on('line', (line) => (places = JSON.parse(line) as Places));
  const ending = new AbortController();
  input.once('close', () => ending.abort());
  await firstLine;
  const clients = clientsOf(() => places);
  const inHand = new Set<Promise<void>>();
  const start = monotonicMs();
  // Direct ones come on top.
  const intervalMs = (1000 * STREAMS.length) / (Number(rate) * clients.length);
  for (let turn = 0; !ending.signal.aborted; turn++) {
    const due = start + turn * intervalMs;
    const early = due - monotonicMs();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    const asked = ask(clients, turn % clients.length, due);
    inHand.add(asked);
    void asked.then(() => inHand.delete(asked));
  }
  await Promise.all(inHand);
  for (const client of clients) client.close();
}

async function ask(clients: readonly Client[], stream: number, due: number): Promise<void> {
  let [by, failure] = ['', ''];
  try {
    by = (await clients[stream]?.ask()) ?? '';
  } catch (error) {
    failure = reasonOf(error);
  }
  const sample: Sample = [stream, round(due), round(monotonicMs() - due), by, failure];
  process.stdout.write(`${JSON.stringify(sample)}\n`);
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === undefined ? message : `${code}: ${message}`;
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

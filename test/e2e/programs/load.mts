/**
 * `load.mts URL WORKERS`: asks without pause until a moment after its standard input ends, half of the
 * workers on connections that they keep, half with a new one each time. Prints a line when the first was
 * answered, and at the end a LoadResult as JSON. A failed request is not asked again, but for one that met a
 * kept connection which was just being closed: nothing of it had been answered, and every client with a pool
 * does so.
 */
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';

/** What came of it. */
export interface LoadResult {
  /** Requests that were answered with 200. */
  readonly answered: number;
  /** Those of them that had met a kept connection just being closed. */
  readonly again: number;
  /** When each that was not began, in milliseconds since the epoch, and how it failed. */
  readonly failures: readonly { readonly at: number; readonly why: string }[];
  /** The slowest: how many milliseconds it took, and when it began, in milliseconds since the epoch. */
  readonly slowest: { readonly ms: number; readonly at: number };
}

/** Of each worker, between two requests. */
const PAUSE_MS = 25;
/** What the input's end was told of may take so long to reach everybody: kube-proxy syncs once a second. */
const LINGER_MS = 3000;
const TIMEOUT_MS = 10_000;
const [, , url = '', workers = '8'] = process.argv;
const seen = {
  answered: 0,
  again: 0,
  failures: [] as { at: number; why: string }[],
  slowest: { ms: 0, at: 0 },
};
const ending = new AbortController();

const keeping = new http.Agent({ keepAlive: true });
const working = Array.from({ length: Number(workers) }, (_, index) =>
  work(index % 2 === 0 ? keeping : false),
);
process.stdin.resume();
await once(process.stdin, 'end');
await new Promise((resolve) => setTimeout(resolve, LINGER_MS));
ending.abort();
await Promise.all(working);
process.stdout.write(`${JSON.stringify(seen satisfies LoadResult)}\n`);
process.exit();

async function work(agent: http.Agent | false): Promise<void> {
  while (!ending.signal.aborted) {
    const began = performance.now();
    const at = Date.now();
    const why = await ask(agent);
    if (why === undefined && seen.answered++ === 0) process.stdout.write('answered\n');
    if (why !== undefined) seen.failures.push({ at, why });
    const ms = Math.round(performance.now() - began);
    if (ms > seen.slowest.ms) seen.slowest = { ms, at };
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** Asks once; why it failed, if it did. */
async function ask(agent: http.Agent | false, again = false): Promise<string | undefined> {
  const request = http.get(url, { agent, timeout: TIMEOUT_MS });
  request.on('timeout', () => request.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)));
  try {
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    let body = '';
    for await (const chunk of response.setEncoding('utf8')) body += chunk as string;
    return response.statusCode === 200 ? undefined : `${response.statusCode ?? 0} ${body.trim()}`;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (request.reusedSocket && code === 'ECONNRESET' && !again) {
      seen.again++;
      return ask(agent, true);
    }
    return String(error);
  }
}

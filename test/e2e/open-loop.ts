import type { Run } from './session.ts';
import { type Sample, type Stream, STREAMS } from './programs/open-loop.mts';

/** So long after the action nothing may fail, milliseconds. */
const STEADY_MS = 4000;

export interface OpenLoopOptions {
  /** Name of the Service in the clusters' namespace of workloads. */
  readonly service: string;
  /** Requests per second, of all protocols together. */
  readonly rps: number;
  /** Which requests may fail during the action; default: none. */
  readonly mayFail?: (stream: Stream) => boolean;
  /**
   * The clients write into a file of their pod, and go on when the API server of their cluster is gone, by
   * which all others are heard; default: false.
   */
  readonly detached?: boolean;
}

/** What has been seen until now. */
export interface SeenSoFar {
  /**
   * Who has answered the last requests, without doubles, sorted. Raw connections that are kept do not count:
   * they stay where they are as long as somebody answers there.
   */
  readonly answering: () => Promise<readonly string[]>;
  /** When the last request was due, by the clients' clock, milliseconds. */
  readonly now: () => Promise<number>;
  /** How many of the requests that were due after `from`, by the clients' clock, each has answered. */
  readonly answeredSince: (from: number) => Promise<ReadonlyMap<string, number>>;
}

/** Clients that ask. */
interface Clients {
  /** What they have printed. */
  readonly soFar: () => Promise<string>;
  /** Ends them; what they have printed when all that was in hand has ended. */
  readonly end: () => Promise<string>;
}

/**
 * Does `action` while a plain pod of the source asks a Service by every protocol, on schedule, whatever comes
 * back. Every failed request is counted; which of them may be is said by `mayFail`, and some seconds after
 * the action none may fail.
 * @returns what was seen, in words
 * @throws Error when others failed, with the first of them
 */
export async function underOpenLoop(
  run: Run,
  { service, rps, mayFail = () => false, detached = false }: OpenLoopOptions,
  action: (seen: SeenSoFar) => Promise<unknown>,
): Promise<string> {
  const args = ['/programs/open-loop.mts', String(rps), `${service}.${run.namespace}.svc`];
  const clients = await (detached ? detachedClients(run, args) : attachedClients(run, args));
  const seen = seenOf(clients, rps);
  let steadyAt = 0;
  let text = '';
  try {
    await action(seen);
    steadyAt = await seen.now();
    await new Promise((resolve) => setTimeout(resolve, STEADY_MS));
  } finally {
    text = await clients.end();
  }
  const samples = samplesOf(text);
  const wrong = samples.filter(
    ([stream, due, , , failure]) => failure !== '' && (due > steadyAt || !mayFail(STREAMS[stream] as Stream)),
  );
  if (wrong.length > 0) throw new Error(`${wordsOf(samples)}; among them ${reasonsOf(wrong, steadyAt)}`);
  return wordsOf(samples);
}

async function attachedClients(run: Run, args: readonly string[]): Promise<Clients> {
  const load = run.source.start('-n', run.namespace, 'exec', '-i', 'client', '--', 'node', ...args);
  await load.spoke;
  return {
    soFar: () => Promise.resolve(load.soFar()),
    end: () => {
      load.endInput();
      return load.output;
    },
  };
}

async function detachedClients(run: Run, args: readonly string[]): Promise<Clients> {
  const shell = (command: string) =>
    run.source.kubectl('-n', run.namespace, 'exec', 'client', '--', 'sh', '-c', command);
  // Their standard input ends with the loop before them.
  const waiting = 'while [ ! -e /tmp/stop ]; do sleep 0.2; done';
  const asking = `${waiting} | node ${args.join(' ')} > /tmp/samples 2>&1; touch /tmp/ended`;
  await shell(`rm -f /tmp/stop /tmp/ended /tmp/samples; (${asking}) > /dev/null 2>&1 &`);
  const soFar = () => shell('cat /tmp/samples');
  await run.until(async () => (await soFar()) !== '');
  return {
    soFar,
    end: async () => {
      await shell('touch /tmp/stop');
      await run.until(async () => (await shell('ls /tmp')).includes('ended'));
      return soFar();
    },
  };
}

function seenOf({ soFar }: Clients, rps: number): SeenSoFar {
  return {
    answering: async () =>
      answeringOf(
        samplesOf(await soFar())
          .filter(isPicked)
          .slice(-2 * rps),
      ),
    now: async () => endOfLast(samplesOf(await soFar())),
    answeredSince: async (from) => {
      const answered = samplesOf(await soFar()).filter(([, due, , by]) => due > from && by !== '');
      const samples = answered.filter(isPicked);
      const byName = Map.groupBy(samples, ([, , , by]) => by);
      return new Map([...byName].map(([by, its]) => [by, its.length]));
    },
  };
}

/** Whether somebody was picked for this request, and not for a connection long before. */
function isPicked([stream]: Sample): boolean {
  return STREAMS[stream]?.protocol !== 'raw kept';
}

function samplesOf(text: string): Sample[] {
  // The last line may be there in part only.
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Sample);
}

function endOfLast(samples: readonly Sample[]): number {
  return samples.reduce((end, [, due]) => Math.max(end, due), 0);
}

function answeringOf(samples: readonly Sample[]): string[] {
  return [...new Set(samples.map(([, , , by]) => by).filter((by) => by !== ''))].sort();
}

/** How many were answered by whom, and how many failed, by protocol, within which time. */
function wordsOf(samples: readonly Sample[]): string {
  const answered = samples.filter(([, , , , failure]) => failure === '');
  const failed = samples.filter(([, , , , failure]) => failure !== '');
  const by = counted(answered.map(([, , , name]) => name));
  if (failed.length === 0) return `${samples.length} requests, none failed; answered by ${by}`;
  const protocols = counted(
    failed.map(([stream]) => {
      const { protocol = '', isIdempotent = false } = STREAMS[stream] ?? {};
      return isIdempotent ? `${protocol} (idempotent)` : protocol;
    }),
  );
  const first = Math.min(...failed.map(([, due]) => due));
  const last = Math.max(...failed.map(([, due, took]) => due + took));
  return `${samples.length} requests, ${failed.length} failed within ${((last - first) / 1000).toFixed(1)} s: ${protocols}; answered by ${by}`;
}

function reasonsOf(wrong: readonly Sample[], steadyAt: number): string {
  const why = wrong.map(([stream, due, , , failure]) => {
    const { protocol = '', isIdempotent = false } = STREAMS[stream] ?? {};
    const when = due > steadyAt ? ', when all should have been over' : '';
    return `${protocol}${isIdempotent ? ' (idempotent)' : ''}${when}: ${failure}`;
  });
  return counted(why);
}

function counted(words: readonly string[]): string {
  return [...Map.groupBy(words, (word) => word)].map(([word, same]) => `${same.length} ${word}`).join(', ');
}

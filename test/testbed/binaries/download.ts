/**
 * A download whose sum is known before it is believed: into a file beside the target, which is renamed when
 * it is whole and right.
 */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { EnvHttpProxyAgent, fetch, type Dispatcher, type Response } from 'undici';
import { isFileError, TestbedError } from '../errors.ts';
import type { RemoteFile } from './archives.ts';
import { type Progress, startProgress, timeLeft } from './progress.ts';

/** Until a server has answered; past that there is no way out, and Go builds. */
const ANSWER_MS = 10_000;
/** Between two pieces of a body; a longer gap is a cut. */
const STALL_MS = 20_000;
/** What a cut download is tried in all. */
const TRIES = 3;
/**
 * The largest file here, kube-apiserver's archive, has about 60 MB; more than this is nothing that we asked
 * for.
 */
const LARGEST = 1 << 29;
/** A published sum, its file's name behind it perhaps, is no longer than this. */
const LARGEST_SUM = 1024;
const SUM = /^[0-9a-f]{128}$/;

export interface DownloadOptions {
  readonly progress: Progress;
  /** What people call the file, for progress. */
  readonly title: string;
  /** Default 10 s: how long a server may take to begin its answer. */
  readonly answerMs?: number;
  /** Default 20 s: the longest gap in a body. */
  readonly stallMs?: number;
}

/** A body that ended early or stalled: worth another try, unlike a refusal. */
class CutError extends Error {}

/**
 * Fetches `file` to `to`, through the proxy that `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name. A cut or
 * stalled body is fetched again, three times in all; a server that does not answer or refuses is not asked
 * again.
 * @throws TestbedError TESTBED_DOWNLOAD_FAILED | TESTBED_WRONG_SUM; what the file system said as it is;
 * nothing is left at `to` then
 */
export async function download(file: RemoteFile, to: string, options: DownloadOptions): Promise<void> {
  const agent = proxyAgent(file.url, options);
  try {
    const expected =
      typeof file.sha512 === 'string' ? file.sha512 : await publishedSum(file.sha512.url, agent, options);
    for (let attempt = 1; ; attempt++) {
      try {
        const sum = await fetchOnce(file.url, to, agent, options);
        if (sum === expected) return;
        throw new TestbedError(
          'TESTBED_WRONG_SUM',
          `${file.url} has the SHA-512 ${sum.slice(0, 16)}…, and ${expected.slice(0, 16)}… is right: something on the way changed it. ` +
            'It was thrown away. Use `--from build`, or look at the proxy that answered.',
        );
      } catch (error) {
        if (isFileError(error)) throw error;
        if (!(error instanceof CutError) || attempt === TRIES) throw failed(file.url, error);
        options.progress.write(`testbed: ${options.title}: ${error.message}; once more from the start\n`);
      }
    }
  } catch (error) {
    await rm(to, { force: true });
    throw error;
  } finally {
    await agent.destroy();
  }
}

async function publishedSum(url: string, agent: Dispatcher, options: DownloadOptions): Promise<string> {
  try {
    const response = await ask(url, agent, options);
    const sum = (await firstText(response, LARGEST_SUM)).trim().split(/\s/)[0] ?? '';
    if (!SUM.test(sum)) throw new Error('it holds no SHA-512');
    return sum;
  } catch (error) {
    throw failed(url, error);
  }
}

/** The beginning of a body: a server that goes on for ever is not listened to. */
async function firstText(response: Response, most: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  let got = 0;
  for await (const piece of response.body ?? []) {
    pieces.push(piece as Uint8Array);
    if ((got += pieces.at(-1)?.length ?? 0) >= most) break;
  }
  return Buffer.concat(pieces).subarray(0, most).toString('utf8');
}

/** The environment's proxies; `proxy:3128` is `http://proxy:3128`, as for curl and Go. */
function proxyAgent(url: string, options: DownloadOptions): EnvHttpProxyAgent {
  const proxy = (name: string): string | undefined => {
    const given = process.env[name] ?? process.env[name.toUpperCase()];
    return given === undefined || given === '' || given.includes('://') ? given : `http://${given}`;
  };
  const [httpProxy, httpsProxy] = [proxy('http_proxy'), proxy('https_proxy')];
  try {
    return new EnvHttpProxyAgent({
      connect: { timeout: options.answerMs ?? ANSWER_MS },
      headersTimeout: options.answerMs ?? ANSWER_MS,
      bodyTimeout: options.stallMs ?? STALL_MS,
      ...(httpProxy === undefined ? {} : { httpProxy }),
      ...(httpsProxy === undefined ? {} : { httpsProxy }),
    });
  } catch (error) {
    throw new TestbedError(
      'TESTBED_DOWNLOAD_FAILED',
      `${url}: HTTPS_PROXY or HTTP_PROXY is no proxy's URL (${causeOf(error)}).`,
      { cause: error },
    );
  }
}

async function ask(url: string, agent: Dispatcher, options: DownloadOptions): Promise<Response> {
  const answerMs = options.answerMs ?? ANSWER_MS;
  const control = new AbortController();
  const late = setTimeout(() => control.abort(new Error(`no answer within ${answerMs / 1000} s`)), answerMs);
  try {
    // Sums are of the file as it is: a server that calls a .tar.gz an encoding would have it decoded on the
    // way.
    const headers = { 'accept-encoding': 'identity' };
    const response = await fetch(url, { dispatcher: agent, signal: control.signal, headers });
    if (response.ok) return response;
    await response.body?.cancel();
    throw new Error(`the server said ${response.status} ${response.statusText}`.trim());
  } finally {
    clearTimeout(late);
  }
}

/** The SHA-512 of what came. */
async function fetchOnce(
  url: string,
  to: string,
  agent: Dispatcher,
  options: DownloadOptions,
): Promise<string> {
  const response = await ask(url, agent, options);
  const length = Number(response.headers.get('content-length') ?? 0);
  const hash = createHash('sha512');
  const start = performance.now();
  let got = 0;
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      got += chunk.length;
      hash.update(chunk);
      done(got > LARGEST ? new Error(`more than ${LARGEST >> 20} MB came`) : null, chunk);
    },
  });
  const shown = startProgress(
    options.progress,
    `testbed: downloading ${options.title} from ${new URL(url).host}`,
    () => {
      const leftSeconds = timeLeft(got, length, performance.now() - start);
      const of = length > 0 ? ` of ${megabytes(length)}` : '';
      return { text: `${megabytes(got)}${of} MB`, ...(leftSeconds === undefined ? {} : { leftSeconds }) };
    },
  );
  try {
    if (response.body === null) throw new CutError('the answer has no body');
    await pipeline(Readable.fromWeb(response.body), count, createWriteStream(to));
    shown.stop(`${megabytes(got)} MB`);
    return hash.digest('hex');
  } catch (error) {
    shown.stop(`cut after ${megabytes(got)} MB`);
    if (got > LARGEST || isFileError(error)) throw error;
    throw new CutError(`the download ended early (${causeOf(error)})`);
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}

function failed(url: string, error: unknown): TestbedError {
  if (error instanceof TestbedError) return error;
  return new TestbedError('TESTBED_DOWNLOAD_FAILED', `${url}: ${causeOf(error)}.`, { cause: error });
}

/** The innermost message: fetch says only "fetch failed". */
function causeOf(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  if (inner instanceof AggregateError && inner.errors.length > 0) return causeOf(inner.errors[0]);
  return inner instanceof Error ? inner.message : String(inner);
}

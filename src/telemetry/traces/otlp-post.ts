import { readFile } from 'node:fs/promises';
import type { Agent } from 'node:http';
import type * as NodeHttps from 'node:https';
import { gzip } from 'node:zlib';
import { promisify } from 'node:util';
import type { Clock } from '../../base/clock.ts';
import { http } from '../../base/node-http.ts';
import type { OtlpSettings } from './otlp-settings.ts';

const https: typeof NodeHttps = process.getBuiltinModule('node:https');
/** Longest answer that is read: a collector has little to say. */
const MAX_ANSWER = 64 * 1024;

/** What became of a batch. */
export type Posted =
  | { readonly kind: 'taken'; readonly answer: Buffer }
  /** @property retryAfterMs how long the collector asks us to wait; undefined: it does not say */
  | { readonly kind: 'refused'; readonly status: number; readonly retryAfterMs: number | undefined }
  | { readonly kind: 'lost'; readonly error: unknown };

/** Sends batches to a collector, on one connection that is kept. */
export class OtlpPost {
  readonly #settings: OtlpSettings;
  readonly #clock: Clock;
  readonly #agent: Agent;

  constructor(settings: OtlpSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
    const kept = { keepAlive: true, maxSockets: 1 };
    this.#agent = settings.url.protocol === 'https:' ? new https.Agent(kept) : new http.Agent(kept);
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Sends one batch. Never rejects. @param signal ends it */
  async send(batch: Buffer, signal: AbortSignal): Promise<Posted> {
    try {
      const { gzip: zipped, files } = this.#settings;
      const body = zipped ? await promisify(gzip)(batch) : batch;
      const [ca, cert, key] = await Promise.all([files.ca, files.cert, files.key].map(pem));
      return await this.#request(body, { ca, cert, key }, signal);
    } catch (error) {
      return { kind: 'lost', error };
    }
  }

  #request(body: Buffer, tls: NodeHttps.RequestOptions, signal: AbortSignal): Promise<Posted> {
    const { url, headers, timeoutMs, gzip: zipped } = this.#settings;
    const { promise, resolve, reject } = Promise.withResolvers<Posted>();
    const { request: open } = url.protocol === 'https:' ? https : http;
    const options = {
      ...(url.protocol === 'https:' ? tls : {}),
      agent: this.#agent,
      method: 'POST',
      signal,
      headers: {
        ...headers,
        'content-type': 'application/x-protobuf',
        'content-length': body.length,
        ...(zipped ? { 'content-encoding': 'gzip' } : {}),
      },
    };
    const request = open(url, options, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_ANSWER) request.destroy(new Error(`the answer is longer than ${MAX_ANSWER} bytes`));
        else chunks.push(chunk);
      });
      response.once('error', reject);
      response.once('end', () => {
        const { statusCode: status = 0, headers: said } = response;
        if (status >= 200 && status < 300) resolve({ kind: 'taken', answer: Buffer.concat(chunks) });
        else
          resolve({
            kind: 'refused',
            status,
            retryAfterMs: readRetryAfter(said['retry-after'], this.#clock.now()),
          });
      });
    });
    request.once('error', reject);
    const timer = this.#clock.after(
      timeoutMs,
      () => request.destroy(new Error(`there was no answer in ${timeoutMs} ms`)),
      { unref: true },
    );
    request.end(body);
    return promise.finally(() => timer.cancel());
  }
}

async function pem(file: string | undefined): Promise<Buffer | undefined> {
  // Each time, because certificates are renewed.
  return file === undefined ? undefined : readFile(file);
}

/**
 * The time that a Retry-After asks for (RFC 9110 section 10.2.3), milliseconds; undefined: none that can be
 * read.
 * @param now milliseconds since the epoch
 */
export function readRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const at = value.length > 64 ? Number.NaN : Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

import type { Dispatcher } from 'undici';
import { GatheredBytes } from '../../base/gathered-bytes.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { type KubeApiError, statusError } from './api-error.ts';
import {
  MAX_ANSWER_VALUES,
  MAX_OBJECT_BYTES,
  MAX_OBJECT_DEPTH,
  MAX_OBJECT_VALUES,
  MAX_PAGE_BYTES,
  MAX_PAGE_VALUES,
  MAX_REFUSAL_BYTES,
  piecesOf,
  tooLarge,
} from './answer-limits.ts';
import { JsonStructure } from './json-structure.ts';
import { ListSplitter } from './list-splitter.ts';

type Response = Pick<Dispatcher.ResponseData, 'body' | 'headers' | 'statusCode'>;

/** The answer to a list, with its objects as `keep` left them. */
export interface ListAnswer {
  readonly items: unknown[];
  /** Bytes of the answer. */
  readonly bytes: number;
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
}

/** What an answer may have. */
export interface BodyLimits {
  /** Of the body, unpacked. */
  readonly bytes: number;
  /** Of JSON: objects, lists, and what is in them. */
  readonly values: number;
}

/**
 * Reads an answer that is no list: JSON is parsed, other text comes as it is. Leaving in the middle closes
 * the connection.
 * @param what what was asked for, for messages: `GET /api/v1/services`
 * @throws LinkspanError KUBE_ANSWER_TOO_LARGE, KUBE_GARBLED
 */
export async function readAnswer(response: Response, what: string, limits: BodyLimits): Promise<unknown> {
  const json = String(response.headers['content-type'] ?? '').includes('json');
  const structure = new JsonStructure();
  const gathered = new GatheredBytes();
  for await (const chunk of piecesOf(response.body, what)) {
    mustFit(what, gathered.length + chunk.length, limits.bytes);
    gathered.add(chunk);
    if (json) structure.take(chunk);
    if (structure.values > limits.values)
      throw tooLarge(what, 'answer', `more than ${limits.values} values`, {
        used: structure.values,
        of: limits.values,
      });
    if (structure.deepest > MAX_OBJECT_DEPTH)
      throw new LinkspanError('KUBE_GARBLED', `${what}: the answer is nested too deep`);
  }
  const text = gathered.bytes.toString('utf8');
  if (!json) return text;
  return parsed(text, what);
}

/**
 * Reads the answer to a list, object by object.
 * @param what what was asked for, for messages
 * @param bytes most that the answer may have
 * @param keep what is kept of each object; undefined leaves it out
 * @throws LinkspanError KUBE_ANSWER_TOO_LARGE, KUBE_GARBLED; and whatever `keep` throws
 */
export async function readList(
  response: Response,
  what: string,
  bytes: number,
  keep: (item: unknown) => unknown,
): Promise<ListAnswer> {
  const items: unknown[] = [];
  const splitter = new ListSplitter(what, (item) => {
    const kept = keep(item);
    if (kept !== undefined) items.push(kept);
  });
  let used = 0;
  for await (const chunk of piecesOf(response.body, what)) {
    used += chunk.length;
    mustFit(what, used, bytes);
    splitter.write(chunk);
  }
  const { metadata } = parsed(splitter.end(), what) as Partial<ListAnswer>;
  return { items, bytes: used, metadata: metadata ?? {} };
}

/**
 * Reads the text of a refusal, up to a limit. Never throws.
 * @param what the request, for messages
 */
export async function readRefusal(response: Response, what: string): Promise<KubeApiError> {
  const gathered = new GatheredBytes();
  try {
    for await (const chunk of piecesOf(response.body, what)) {
      gathered.add(chunk.subarray(0, MAX_REFUSAL_BYTES - gathered.length));
      if (gathered.length >= MAX_REFUSAL_BYTES) break;
    }
  } catch {
    // The status says enough; the rest of the text is lost with the connection.
  }
  const retryAfter = response.headers['retry-after'];
  return statusError(
    response.statusCode,
    gathered.bytes.toString('utf8'),
    what,
    Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
  );
}

/** Limits of an answer that is one object. */
export function objectLimits(bytes: number): BodyLimits {
  return { bytes: Math.min(bytes, MAX_OBJECT_BYTES), values: MAX_OBJECT_VALUES };
}

/** Limits of a page of one of our pods. */
export const PAGE_LIMITS: BodyLimits = { bytes: MAX_PAGE_BYTES, values: MAX_PAGE_VALUES };

/** Limits of an answer that is neither an object nor a list. */
export function anyLimits(bytes: number): BodyLimits {
  return { bytes, values: MAX_ANSWER_VALUES };
}

function mustFit(what: string, used: number, of: number): void {
  if (used > of) throw tooLarge(what, 'answer', `an answer of more than ${of} bytes`, { used, of });
}

function parsed(text: string, what: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new LinkspanError('KUBE_GARBLED', `${what}: the answer is not JSON: ${text.slice(0, 80)}`, {
      cause: error,
    });
  }
}

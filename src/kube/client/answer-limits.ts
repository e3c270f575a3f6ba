import { LinkspanError } from '../../api/errors/linkspan-error.ts';

/** Limits of what is read from one API server, whoever it may be. Every client has them. */
export interface AnswerLimits {
  /**
   * Bytes of one answer; default 16 MiB. Of a list one page counts: pages that would be longer are asked for
   * in smaller ones.
   */
  readonly bytes: number;
  /**
   * Time for one whole answer, from the request to its last byte, milliseconds; default 60 s. Watches have
   * their own.
   */
  readonly ms: number;
}

export const ANSWER_LIMITS: AnswerLimits = { bytes: 16 * 1024 * 1024, ms: 60_000 };

/**
 * Bytes of one object as JSON. etcd holds at most 1.5 MiB of one, as Protobuf for the kinds of Kubernetes
 * itself.
 */
export const MAX_OBJECT_BYTES = 4 * 1024 * 1024;
/**
 * Values (fields, elements) of one object. A slice of 1,000 endpoints, the most that kube writes, has about
 * 25,000.
 */
export const MAX_OBJECT_VALUES = 100_000;
/** How deep an object may be nested. */
export const MAX_OBJECT_DEPTH = 128;
/** Values of an answer that is no list: what admin ports say of thousands of Services. */
export const MAX_ANSWER_VALUES = 1_000_000;
/**
 * The same of a page of one of our pods: what a process counts at most (10,000 Services with their clients
 * and routes, each with all of its latency) is 26 MB in 4 million values.
 */
export const MAX_PAGE_VALUES = 6_000_000;
export const MAX_PAGE_BYTES = 64 * 1024 * 1024;
/** Bytes of a refusal that are read; the rest is left. */
export const MAX_REFUSAL_BYTES = 256 * 1024;
/** Pages of one list. */
export const MAX_PAGES = 10_000;
/** Bytes of a list that is read as a whole rather than page by page. */
export const MAX_LIST_BYTES = 256 * 1024 * 1024;
/**
 * Pieces in which a body may come, beside one for so many bytes: the chunks of HTTP cost time, however short
 * they are.
 */
const MAX_PIECES = 20_000;
const BYTES_PER_PIECE = 64;

/** Which limit of an answer is passed; `object` can be no matter of the size of a page. */
export type AnswerLimit = 'answer' | 'object' | 'pages';

/**
 * @throws LinkspanError KUBE_ANSWER_TOO_LARGE; its field `limit` says which limit, `used` and `of` the
 * numbers
 */
export function tooLarge(
  what: string,
  limit: AnswerLimit,
  why: string,
  numbers: { used: number; of: number },
): LinkspanError {
  return new LinkspanError('KUBE_ANSWER_TOO_LARGE', `${what}: ${why}`, { fields: { limit, ...numbers } });
}

export function tooSlow(what: string, ms: number): LinkspanError {
  return new LinkspanError('KUBE_ANSWER_TOO_SLOW', `${what}: no whole answer within ${ms / 1000} s`, {
    fields: { limit: 'answer', used: ms, of: ms },
  });
}

/** Whether an answer was given up because of its size or its time: asked again it would be no better. */
export function isOverLimit(error: unknown): boolean {
  return (
    error instanceof LinkspanError &&
    (error.code === 'KUBE_ANSWER_TOO_LARGE' || error.code === 'KUBE_ANSWER_TOO_SLOW')
  );
}

/**
 * The pieces of a body, as long as they are no more than a body of its length needs.
 * @throws LinkspanError KUBE_ANSWER_TOO_LARGE
 */
export async function* piecesOf(body: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Buffer> {
  let pieces = 0;
  let bytes = 0;
  for await (const piece of body) {
    pieces++;
    bytes += piece.length;
    const of = MAX_PIECES + bytes / BYTES_PER_PIECE;
    if (pieces > of) throw tooLarge(what, 'object', 'it comes in too many pieces', { used: pieces, of });
    yield piece as Buffer;
  }
}

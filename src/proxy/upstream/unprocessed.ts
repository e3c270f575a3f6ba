/** What becomes of requests that were not processed. */
import { backoffDelay } from '../../base/backoff.ts';
import { sleep } from '../../base/clock.ts';
import { ProxyFailure } from '../http/failures.ts';
import { Http2ErrorCode } from '../http2/errors.ts';
import type { TargetOptions } from './target-options.ts';

/** Waits before a request that an endpoint refused unprocessed is sent again. */
const REFUSED = { minMs: 2, maxMs: 100 } as const;

/**
 * The failure for a request that was not processed. A client that can send it elsewhere gets REFUSED_STREAM,
 * which says just that (RFC 9113 section 8.7).
 * @param alternatives as in `OutgoingRequest`; with none, the client gets the failure as a response
 */
export function unseen(failure: ProxyFailure, alternatives: number | undefined): ProxyFailure {
  if (alternatives === undefined || alternatives === 0 || failure.kind === 'load shed') return failure;
  const terms = { breaks: true, code: Http2ErrorCode.REFUSED_STREAM };
  return new ProxyFailure(failure.kind, failure.message, failure.cause, terms);
}

/** As `SessionTarget.untilOpenAgain`. */
export async function untilOpenAgain(
  refusals: number,
  { clock, random }: Pick<TargetOptions, 'clock' | 'random'>,
): Promise<void> {
  if (refusals > 0) await sleep(clock, backoffDelay(refusals - 1, REFUSED, random));
}

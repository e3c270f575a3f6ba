import { readTapQuery, TAP_ACCOUNT } from '../../api/answers/tap-events.ts';
import { systemClock } from '../../base/clock.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import type { LiveEvent } from '../../dashboard/dashboard-answers.ts';
import { tapCluster, type TapListener, type TapWord } from '../queries/tap-streams.ts';
import type { OpenSource } from './cluster-source.ts';

/**
 * What passes in a cluster, for as long as somebody looks; the token is asked for now, and not before.
 * @throws RangeError for a query that is none; LinkspanError TAP_REFUSED and what the client throws
 */
export async function* liveTap(
  { client, namespace }: OpenSource,
  query: URLSearchParams,
  { tapAccount, signal }: { readonly tapAccount: string | undefined; readonly signal: AbortSignal },
): AsyncGenerator<LiveEvent> {
  const asked = new URLSearchParams(query);
  asked.delete('context');
  const filter = readTapQuery(asked);
  const account = parseKey(tapAccount ?? `${namespace}/${TAP_ACCOUNT}`);
  const over = new AbortController();
  const question = {
    namespace,
    account,
    filter,
    clock: systemClock,
    signal: AbortSignal.any([signal, over.signal]),
  };
  const { readable, writable } = new TransformStream<TapWord, TapWord>();
  const writer = writable.getWriter();
  const failures: string[] = [];
  const listener: TapListener = {
    // Pods wait until each word has been taken.
    word: (said) => writer.write(said),
    silent: (pod, why) => void failures.push(`${pod}: ${why}`),
  };
  const tapping = tapCluster(client, question, listener).then(
    () => writer.close(),
    (error: unknown) => writer.abort(error),
  );
  try {
    for await (const word of readable) yield { event: 'tap', data: word };
    await tapping;
    yield { event: 'over', data: { failures } };
  } finally {
    over.abort();
  }
}

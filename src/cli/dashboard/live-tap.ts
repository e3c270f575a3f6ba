import { readTapQuery, TAP_ACCOUNT } from '../../api/answers/tap-events.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import type { LiveEvent } from '../../dashboard/dashboard-answers.ts';
import { tapCluster, type TapWord } from '../queries/tap-streams.ts';
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
  const question = { namespace, account, filter, signal: AbortSignal.any([signal, over.signal]) };
  const { readable, writable } = new TransformStream<TapWord, TapWord>();
  const writer = writable.getWriter();
  // Pods wait until each word has been taken.
  const tapping = tapCluster(client, question, (word) => writer.write(word)).then(
    async (failures) => {
      await writer.close();
      return failures;
    },
    async (error: unknown) => {
      await writer.abort(error);
      return [];
    },
  );
  try {
    for await (const word of readable) yield { event: 'tap', data: word };
    yield { event: 'over', data: { failures: await tapping } };
  } finally {
    over.abort();
  }
}

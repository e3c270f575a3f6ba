import {
  readTapEvent,
  TAP_AUDIENCE,
  TAP_PATH,
  TAP_TOKEN_HEADER,
  type TapEvent,
  type TapFilter,
  tapQuery,
} from '../../api/answers/tap-events.ts';
import { codeOf, LinkspanError } from '../../api/errors/linkspan-error.ts';
import { componentSelector } from '../../api/installed-labels.ts';
import { pods } from '../../api/kubernetes/resource.ts';
import { adminPortOf, isRunning } from '../../check/check-facts.ts';
import type { Clock } from '../../base/clock.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { type AccountRef, requestToken } from '../../linking/token.ts';
import { podWords } from './pod-words.ts';

/** Life of the token: as long as one may look, and half a minute until that begins; milliseconds. */
const TOKEN_MS = 630_000;
/** After so long without a word a pod is not heard any more, milliseconds: each says one every 15 s. */
const SILENT_MS = 40_000;
/** A pod without such a page. */
const ABSENT = 'it is of an older version, or tap.enabled is off';

/** What was heard of a pod. */
export interface TapWord {
  readonly pod: string;
  readonly event: TapEvent;
}

/** What is asked of one cluster. */
export interface TapQuestion {
  /** Namespace of the installation. */
  readonly namespace: string;
  /** Whose token is asked for. */
  readonly account: AccountRef;
  readonly filter: TapFilter;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Where what is heard goes. */
export interface TapListener {
  /** The pod waits until it has been taken. */
  word(word: TapWord): Promise<void>;
  /** A pod could not be asked, or is heard no longer: told at once, as others may go on for minutes. */
  silent(pod: string, why: string): void;
}

/**
 * Looks through all pods of gateways and egresses of a cluster, through the API server's pod proxy, until
 * each has ended it.
 * @throws LinkspanError TAP_REFUSED when not one could be asked, or there is no token; what the client throws
 */
export async function tapCluster(
  client: KubeClient,
  question: TapQuestion,
  listener: TapListener,
): Promise<void> {
  const { namespace, account, filter, signal } = question;
  const token = await tokenFor(client, account, signal);
  const found = await tappable(client, namespace, filter, signal);
  const failures: string[] = [];
  let heard = 0;
  await Promise.all(
    found.map(async ({ name, port }) => {
      const where = `/api/v1/namespaces/${namespace}/pods/${encodeURIComponent(name)}:${port}/proxy${TAP_PATH}`;
      const headers = { [TAP_TOKEN_HEADER]: token };
      const lines = (patience: AbortSignal) =>
        client.lines(where + tapQuery(filter), { headers, signal: patience });
      try {
        await heardOf(lines, question, async (line) => {
          heard++;
          await listener.word({ pod: name, event: readTapEvent(line) });
        });
      } catch (error) {
        if (signal.aborted) return;
        const why = podWords(error, ABSENT);
        failures.push(`${name}: ${why}`);
        listener.silent(name, why);
      }
    }),
  );
  if (heard > 0 || signal.aborted) return;
  const why = found.length === 0 ? 'there is no gateway and no egress' : failures.join('; ');
  throw new LinkspanError('TAP_REFUSED', `nobody in namespace ${namespace} of ${client.server}: ${why}`);
}

/**
 * Hands on the lines of one pod, which is not believed to end, or to say anything.
 * @throws RangeError when it is silent, or goes on for longer than it was asked to
 */
async function heardOf(
  lines: (signal: AbortSignal) => AsyncIterable<string>,
  { clock, filter, signal }: TapQuestion,
  tell: (line: string) => Promise<void>,
): Promise<void> {
  const patience = new AbortController();
  const wait = () => clock.after(SILENT_MS, () => patience.abort());
  let [timer, since, waited] = [wait(), clock.monotonic(), 0];
  try {
    for await (const line of lines(AbortSignal.any([signal, patience.signal]))) {
      timer.cancel();
      // Only time that was spent on the pod: whoever reads may take as long as they like.
      waited += clock.monotonic() - since;
      if (waited > filter.forMs + SILENT_MS)
        throw new RangeError('it goes on for longer than it was asked to');
      await tell(line);
      [timer, since] = [wait(), clock.monotonic()];
    }
  } finally {
    timer.cancel();
  }
  if (patience.signal.aborted) throw new RangeError(`it has not said a word for ${SILENT_MS / 1000} s`);
}

async function tokenFor(client: KubeClient, account: AccountRef, signal: AbortSignal): Promise<string> {
  try {
    return await requestToken(client, account, TOKEN_MS, { audience: TAP_AUDIENCE, signal });
  } catch (error) {
    const code = codeOf(error);
    // Their advice is about accounts of other clusters.
    if (code !== 'TOKEN_REFUSED' && code !== 'SERVICE_ACCOUNT_MISSING') throw error;
    const why = error instanceof LinkspanError ? error.message : '';
    throw new LinkspanError('TAP_REFUSED', `no token at ${client.server}: ${why}`, { cause: error });
  }
}

async function tappable(
  client: KubeClient,
  namespace: string,
  { side }: TapFilter,
  signal: AbortSignal,
): Promise<{ readonly name: string; readonly port: number }[]> {
  const lists = await Promise.all(
    (['gateway', 'egress'] as const)
      .filter((component) => side === undefined || side === component)
      .map((component) =>
        client.list(pods, { namespace, labelSelector: componentSelector(component), signal }),
      ),
  );
  return lists
    .flatMap(({ items }) => items)
    .filter(isRunning)
    .map((pod) => ({ name: pod.metadata?.name ?? '', port: adminPortOf(pod) }));
}

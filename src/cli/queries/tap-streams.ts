import {
  readTapEvent,
  TAP_AUDIENCE,
  TAP_PATH,
  TAP_TOKEN_HEADER,
  type TapEvent,
  type TapFilter,
  tapQuery,
} from '../../api/answers/tap-events.ts';
import { codeOf, LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { componentSelector } from '../../api/installed-labels.ts';
import { pods } from '../../api/kubernetes/resource.ts';
import { adminPortOf, isRunning } from '../../check/check-facts.ts';
import { KubeApiError, type KubeClient } from '../../kube/client/kube-client.ts';
import { type AccountRef, requestToken } from '../../linking/token.ts';

/** Life of the token: as long as one may look, and half a minute until that begins; milliseconds. */
const TOKEN_MS = 630_000;

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
  readonly signal: AbortSignal;
}

/**
 * Looks through all pods of gateways and egresses of a cluster, through the API server's pod proxy, until
 * each has ended it.
 * @param tell gets what each pod says; the pod waits until it has been taken
 * @returns pods that could not be asked, or broke off, and why
 * @throws LinkspanError TAP_REFUSED when not one could be asked, or there is no token; what the client throws
 */
export async function tapCluster(
  client: KubeClient,
  { namespace, account, filter, signal }: TapQuestion,
  tell: (word: TapWord) => Promise<void>,
): Promise<readonly string[]> {
  const token = await tokenFor(client, account, signal);
  const found = await tappable(client, namespace, filter, signal);
  const failures: string[] = [];
  let heard = 0;
  await Promise.all(
    found.map(async ({ name, port }) => {
      const where = `/api/v1/namespaces/${namespace}/pods/${encodeURIComponent(name)}:${port}/proxy${TAP_PATH}`;
      const headers = { [TAP_TOKEN_HEADER]: token };
      try {
        for await (const line of client.lines(where + tapQuery(filter), { headers, signal })) {
          heard++;
          await tell({ pod: name, event: readTapEvent(line) });
        }
      } catch (error) {
        if (!signal.aborted) failures.push(`${name}: ${wordsOf(error)}`);
      }
    }),
  );
  if (heard > 0 || signal.aborted) return failures;
  const why = found.length === 0 ? 'there is no gateway and no egress' : failures.join('; ');
  throw new LinkspanError('TAP_REFUSED', `nobody in namespace ${namespace} of ${client.server}: ${why}`);
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

/** The pod's own words where it has refused, without the path that it was asked by. */
function wordsOf(error: unknown): string {
  if (!(error instanceof KubeApiError)) return messageOf(error);
  // With Status objects the API server refuses, not the pod.
  if (error.reason !== '') return messageOf(error);
  if (error.status === 404) return 'it has no such page: it is of an older version, or tap.enabled is off';
  return error.answer.trim();
}

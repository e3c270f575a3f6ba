import type { Command } from 'commander';
import { CONTROLLER_ADMIN_PORT, DEFAULT_NAMESPACE } from '../../api/names.ts';
import { isMirrorLease } from '../../api/lease-names.ts';
import { z } from 'zod';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { listItems, plainText } from '../../base/text.ts';
import type { LinkReport } from '../../api/answers/admin-answers.ts';
import type { AnswerPage } from '../../api/answers/answer-page.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { askPod, askUrl } from '../../kube/client/pod-proxy.ts';
import { leases } from '../../api/kubernetes/resource.ts';

/** Timeout for one replica, milliseconds; it answers from memory. */
const ANSWER_MS = 30_000;
/** Share of the verb's timeout that replicas have to answer; the rest is for printing the answers. */
const ANSWER_SHARE = 0.8;

/** Answers of the controllers to one request. */
export interface Answers<T> {
  readonly answers: readonly T[];
  /** Replicas that did not answer, and why. */
  readonly failures: readonly string[];
}

/** Flags that say where the controllers are. */
export const controllerFlags = {
  controllerNamespace: z.string(),
  controller: z
    .string()
    .optional()
    .transform((text) => (text === undefined ? undefined : listItems(text))),
};

/** Adds them to a verb. */
export function withControllerFlags(command: Command): Command {
  return command
    .option(
      '--controller-namespace <ns>',
      'namespace of the installation: of the controller and the Links',
      DEFAULT_NAMESPACE,
    )
    .option('--controller <urls>', "the controllers' admin ports, instead of their pods");
}

/** Values of those flags, and the verb's timeout. */
export interface ControllerFlags {
  readonly controllerNamespace: string;
  readonly controller: readonly string[] | undefined;
  /** Milliseconds. */
  readonly timeout?: number | undefined;
}

/**
 * Asks every controller replica that holds a Lease a question: through the API server's pod proxy, so that a
 * kubeconfig is all that is needed (it takes `get` on `pods/proxy`), or directly at the given URLs.
 * @throws LinkspanError CONTROLLER_NOT_FOUND when no replica answers
 */
export async function askControllers<T>(
  client: KubeClient,
  flags: ControllerFlags,
  page: AnswerPage<T>,
): Promise<Answers<T>> {
  const signal = AbortSignal.timeout(answerMs(flags));
  const asked =
    flags.controller === undefined
      ? await askPods(client, flags.controllerNamespace, page, signal)
      : await Promise.all(flags.controller.map((url) => askOne(url, page, signal)));
  const failures = asked.flatMap((answer) => ('failure' in answer ? [answer.failure] : []));
  const answers = asked.flatMap((answer) => ('value' in answer ? answer.value : []));
  if (asked.length > failures.length) return { answers, failures };
  const why = failures.length === 0 ? 'no replica holds a Lease' : failures.join('; ');
  throw new LinkspanError(
    'CONTROLLER_NOT_FOUND',
    `no Linkspan controller answers in namespace ${flags.controllerNamespace}: ${why}`,
  );
}

function answerMs({ timeout }: ControllerFlags): number {
  return timeout === undefined ? ANSWER_MS : Math.round(timeout * ANSWER_SHARE);
}

/** Why a process did not answer. */
export function silence(error: unknown): string {
  return error instanceof Error && error.name === 'TimeoutError' ? 'no answer in time' : messageOf(error);
}

type Asked<T> = { readonly value: readonly T[] } | { readonly failure: string };

async function askPods<T>(
  client: KubeClient,
  namespace: string,
  page: AnswerPage<T>,
  signal: AbortSignal,
): Promise<Asked<T>[]> {
  const { items } = await client.list(leases, { namespace });
  const holders = items
    .filter(({ metadata }) => isMirrorLease(metadata?.name ?? ''))
    .map(({ spec }) => spec?.holderIdentity ?? '')
    .filter((holder) => holder !== '');
  return Promise.all(
    [...new Set(holders)].map(async (pod): Promise<Asked<T>> => {
      try {
        const where = { namespace, pod, port: CONTROLLER_ADMIN_PORT };
        return { value: page.read(await askPod(client, where, page.path, signal)) };
      } catch (error) {
        return { failure: `${pod}: ${silence(error)}` };
      }
    }),
  );
}

/** Prints on stderr which replicas did not answer, as the output may be incomplete. */
export function tellFailures(failures: readonly string[]): void {
  for (const failure of failures) process.stderr.write(`linkspan: no answer from ${plainText(failure)}\n`);
}

/** Prints on stderr what could not be read, as the output may be incomplete. */
export function tellUnread(unread: readonly string[] = []): void {
  for (const one of unread) process.stderr.write(`linkspan: not read: ${plainText(one)}\n`);
}

async function askOne<T>(url: string, page: AnswerPage<T>, signal: AbortSignal): Promise<Asked<T>> {
  try {
    return { value: page.read(await askUrl(url, page.path, signal)) };
  } catch (error) {
    return { failure: `${url}: ${silence(error)}` };
  }
}

/** One report for each Link: several replicas know it, and that of the Lease's holder is preferred. */
export function mergeReports(reports: readonly LinkReport[]): LinkReport[] {
  const best = new Map<string, LinkReport>();
  for (const report of reports) {
    const known = best.get(report.link);
    if (known === undefined || (report.mirrors !== undefined && known.mirrors === undefined))
      best.set(report.link, report);
  }
  return [...best.values()].sort((a, b) => (a.link < b.link ? -1 : 1));
}

import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { systemClock } from '../../base/clock.ts';
import type { AnswerSource } from '../../dashboard/dashboard-answers.ts';
import { HistoryAnswers } from '../../dashboard/history/history-answers.ts';
import { PrometheusClient } from '../../dashboard/history/prometheus-client.ts';
import { anonymousAccess } from '../../kube/client/access.ts';
import { KubeClient } from '../../kube/client/kube-client.ts';
import { type ClusterFlags, openCluster } from '../flags/cluster-flags.ts';
import type { OpenSource } from './cluster-source.ts';

/** Prometheus' own port. */
const DEFAULT_PORT = '9090';
const SERVICE =
  /^(?:(?<context>.+)\/)?(?<namespace>[a-z0-9-]{1,63})\/(?<name>[a-z0-9-]{1,63})(?::(?<port>[a-z0-9-]{1,15}))?$/;

/** Where history comes from. */
export interface HistorySource {
  /** As it was given. */
  readonly name: string;
  readonly answers: NonNullable<AnswerSource['history']>;
  close(): Promise<void>;
}

/**
 * The Prometheus that the flags name; undefined: none.
 * @throws LinkspanError CONFIG_INVALID, KUBECONFIG_…
 */
export function historyOf(
  flags: Omit<ClusterFlags, 'context'> & { readonly prometheus?: string | undefined },
  sources: readonly OpenSource[],
): HistorySource | undefined {
  const { prometheus: where } = flags;
  if (where === undefined) return undefined;
  const { client, path, isOwn } = clientOf(where, flags, sources);
  return {
    name: where,
    answers: new HistoryAnswers(new PrometheusClient(client, path), systemClock),
    close: async () => {
      if (isOwn) await client.close();
    },
  };
}

function clientOf(
  where: string,
  flags: Omit<ClusterFlags, 'context'>,
  sources: readonly OpenSource[],
): { readonly client: KubeClient; readonly path: string; readonly isOwn: boolean } {
  if (/^https?:\/\//.test(where)) {
    if (URL.parse(where)?.username)
      throw new LinkspanError(
        'CONFIG_INVALID',
        'dashboard: --prometheus: a name and a password in the URL are not sent: forward a port that needs none',
      );
    const options = { clock: systemClock, random: Math.random, maxTries: 1 };
    return { client: new KubeClient(anonymousAccess(where), options), path: '', isOwn: true };
  }
  const { context, namespace, name, port = DEFAULT_PORT } = SERVICE.exec(where)?.groups ?? {};
  if (namespace === undefined || name === undefined)
    throw new LinkspanError(
      'CONFIG_INVALID',
      `dashboard: --prometheus: "${where}" is neither a URL nor [<context>/]<namespace>/<service>[:<port>]`,
    );
  const path = `/api/v1/namespaces/${namespace}/services/${name}:${port}/proxy`;
  const asked = context === undefined ? sources[0] : sources.find((one) => one.context === context);
  if (asked !== undefined) return { client: asked.client, path, isOwn: false };
  return { client: openCluster({ ...flags, context }).client, path, isOwn: true };
}

import { explainPage } from '../../api/answers/admin-answers.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { services } from '../../api/kubernetes/resource.ts';
import { type AnnotationName, type Annotations, readAnnotation } from '../../api/annotations.ts';
import {
  ALLOWED_CLIENTS,
  ALLOWED_NAMESPACES,
  DATA_PATH,
  FAULTS,
  OPAQUE_PORTS,
  SLO,
  TAP,
} from '../../api/names.ts';
import type { ReasonsAnswer, ServiceAnswer } from '../../dashboard/answers.ts';
import type { AnswerSource } from '../../dashboard/dashboard-answers.ts';
import { isNotFound, type KubeClient } from '../../kube/client/kube-client.ts';
import { effectivePolicy } from '../../policy/effective-policy.ts';
import { allCodes, allReasons } from '../output/explain-words.ts';
import { relevantExplanations } from '../output/explanation-text.ts';
import { failureAdvice } from '../output/failure-advice.ts';
import { askControllers } from '../queries/controller-answers.ts';
import { liveTap } from './live-tap.ts';
import { liveEdges } from './live-edges.ts';
import type { OpenSource } from './cluster-source.ts';

/** Annotations that say something of a Service's traffic, beside those of its policy. */
const SAYING: readonly AnnotationName[] = [
  ALLOWED_CLIENTS,
  ALLOWED_NAMESPACES,
  DATA_PATH,
  FAULTS,
  OPAQUE_PORTS,
  SLO,
  TAP,
];

/** What pages ask for beside the tables. @param timeoutMs of one question */
export function pageAnswers(
  sources: readonly OpenSource[],
  {
    timeoutMs,
    tapAccount,
    history,
  }: { readonly timeoutMs: number; readonly tapAccount: string | undefined } & Pick<AnswerSource, 'history'>,
): AnswerSource {
  return {
    reasons: reasonsAnswer,
    service: (query) => serviceAnswer(sourceOf(sources, query), query, timeoutMs),
    tap: (query, signal) => liveTap(sourceOf(sources, query), query, { tapAccount, signal }),
    top: (_, signal) => liveEdges(sources, timeoutMs, signal),
    history,
  };
}

/** @throws LinkspanError CONFIG_INVALID */
function sourceOf(sources: readonly OpenSource[], query: URLSearchParams): OpenSource {
  const context = query.get('context');
  const found = sources.find((one) => one.context === context);
  if (found !== undefined) return found;
  throw new LinkspanError('CONFIG_INVALID', `there is no context "${context ?? ''}" here`);
}

function reasonsAnswer(): ReasonsAnswer {
  const failures = Object.entries(failureAdvice).map(([kind, fix]) => ({ kind, fix }));
  return { reasons: allReasons(), codes: allCodes(), failures };
}

async function serviceAnswer(
  { client, namespace: controllerNamespace }: OpenSource,
  query: URLSearchParams,
  timeoutMs: number,
): Promise<ServiceAnswer> {
  const [namespace, name] = [query.get('namespace') ?? '', query.get('name') ?? ''];
  if (namespace === '' || name === '')
    throw new LinkspanError('CONFIG_INVALID', 'namespace and name say which Service is meant');
  const flags = { controllerNamespace, controller: undefined, timeout: timeoutMs };
  const [said, own] = await Promise.allSettled([
    askControllers(client, flags, explainPage({ namespace, name })),
    ownWords(client, namespace, name),
  ]);
  const explained =
    said.status === 'fulfilled' ? said.value : { answers: [], failures: [messageOf(said.reason)] };
  const read = own.status === 'fulfilled' ? own.value : NOTHING;
  return {
    explanations: relevantExplanations(explained.answers),
    ...read,
    unread: [...explained.failures, ...(own.status === 'fulfilled' ? [] : [messageOf(own.reason)])],
  };
}

type OwnWords = Pick<ServiceAnswer, 'policy' | 'ports' | 'problems'>;
const NOTHING: OwnWords = { policy: [], ports: [], problems: [] };

/** What the Service itself says. One that is not there says nothing. */
async function ownWords(client: KubeClient, namespace: string, name: string): Promise<OwnWords> {
  try {
    const { metadata, spec } = await client.get(services, { namespace, name });
    const ports = (spec?.ports ?? []).map((port) => ({
      name: port.name ?? '',
      port: port.port,
      protocol: port.appProtocol ?? port.protocol ?? 'TCP',
    }));
    return { ...policyWords(`${namespace}/${name}`, metadata?.annotations), ports };
  } catch (error) {
    if (isNotFound(error)) return NOTHING;
    throw error;
  }
}

function policyWords(key: string, annotations: Annotations | undefined): Omit<OwnWords, 'ports'> {
  const { origins, refused } = effectivePolicy({ key, annotations });
  const names = new Set<string>([...SAYING, ...Object.values(origins).flat()]);
  const policy = [...names].flatMap((name) => {
    // Those that are no annotations are kinds of objects: there is none of that name.
    const value = readAnnotation(annotations, name as AnnotationName);
    return value === undefined ? [] : [{ name, value }];
  });
  return { policy, problems: refused.map(({ problem }) => problem) };
}

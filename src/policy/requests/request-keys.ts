import { AnnotationReader } from '../../api/annotation-reader.ts';
import { z } from 'zod';
import {
  RETRY_BUDGET_MIN,
  RETRY_BUDGET_RATIO,
  RETRY_BUDGET_TTL,
  RETRY_GRPC,
  RETRY_HTTP,
  RETRY_LIMIT,
  RETRY_TIMEOUT,
  TIMEOUT_IDLE,
  TIMEOUT_REQUEST,
  TIMEOUT_RESPONSE,
} from '../../api/linkerd/traffic-annotations.ts';
import { readRequestAnnotations, type ReadRequests } from './request-annotations.ts';
import { readServiceProfile } from './service-profile.ts';

const text = z.union([z.string(), z.number()]).transform(String);

/**
 * Keys of a service in the file of `--targets` about retries and timeouts: the annotations' names and values,
 * and the `spec` of a ServiceProfile.
 */
export const requestKeys = {
  retry: z
    .strictObject({
      http: text.optional(),
      grpc: text.optional(),
      limit: text.optional(),
      timeout: text.optional(),
      budget: z
        .strictObject({ ratio: text.optional(), minPerSecond: text.optional(), ttl: text.optional() })
        .optional(),
    })
    .optional(),
  timeout: z
    .strictObject({ request: text.optional(), response: text.optional(), idle: text.optional() })
    .optional(),
  profile: z.record(z.string(), z.unknown()).optional(),
};

type RequestKeys = z.output<z.ZodObject<typeof requestKeys>>;

/**
 * What these keys say, and what is wrong with them under the names that the file has; nothing is done
 * instead, because a file is refused as a whole.
 */
export function readRequestKeys({ retry = {}, timeout = {}, profile }: RequestKeys): ReadRequests {
  const { budget = {} } = retry;
  const said: Readonly<Record<string, readonly [key: string, value: string | undefined]>> = {
    [RETRY_HTTP[0]]: ['retry.http', retry.http],
    [RETRY_GRPC[0]]: ['retry.grpc', retry.grpc],
    [RETRY_LIMIT[0]]: ['retry.limit', retry.limit],
    [RETRY_TIMEOUT[0]]: ['retry.timeout', retry.timeout],
    [TIMEOUT_REQUEST[0]]: ['timeout.request', timeout.request],
    [TIMEOUT_RESPONSE[0]]: ['timeout.response', timeout.response],
    [TIMEOUT_IDLE[0]]: ['timeout.idle', timeout.idle],
    [RETRY_BUDGET_RATIO[0]]: ['retry.budget.ratio', budget.ratio],
    [RETRY_BUDGET_MIN[0]]: ['retry.budget.minPerSecond', budget.minPerSecond],
    [RETRY_BUDGET_TTL[0]]: ['retry.budget.ttl', budget.ttl],
  };
  const annotations: Record<string, string> = {};
  for (const [name, [, value]] of Object.entries(said)) if (value !== undefined) annotations[name] = value;
  const reader = new AnnotationReader(annotations);
  const read = readRequestAnnotations(reader);
  const problems = reader.problems.map((problem) => {
    const name = problem.slice(0, problem.indexOf(':'));
    return refusal(problem.replace(name, said[name]?.[0] ?? name));
  });
  if (profile === undefined) return { ...(read === undefined ? {} : { requests: read }), problems };
  const routes = readServiceProfile(profile);
  const requests = routes.requests ?? read;
  return {
    ...(requests === undefined ? {} : { requests }),
    problems: [...problems, ...routes.problems.map((problem) => refusal(`profile: ${problem}`))],
  };
}

function refusal(problem: string): string {
  return problem.replace(/, it is [^,]*$/, '');
}

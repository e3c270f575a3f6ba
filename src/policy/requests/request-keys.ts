import { z } from 'zod';
import { readRequestAnnotations, type ReadRequests } from './request-annotations.ts';
import { readServiceProfile } from './service-profile.ts';

const text = z.union([z.string(), z.number()]).transform(String);

/** Keys of a service in the file of `--targets` about retries and timeouts: the annotations' names and values, and the `spec` of a ServiceProfile. */
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

/** What these keys say, and what is wrong with them under the names that the file has; nothing is done instead, because a file is refused as a whole. */
export function readRequestKeys({ retry = {}, timeout = {}, profile }: RequestKeys): ReadRequests {
  const { budget = {} } = retry;
  const said: Readonly<Record<string, readonly [key: string, value: string | undefined]>> = {
    'retry.linkerd.io/http': ['retry.http', retry.http],
    'retry.linkerd.io/grpc': ['retry.grpc', retry.grpc],
    'retry.linkerd.io/limit': ['retry.limit', retry.limit],
    'retry.linkerd.io/timeout': ['retry.timeout', retry.timeout],
    'timeout.linkerd.io/request': ['timeout.request', timeout.request],
    'timeout.linkerd.io/response': ['timeout.response', timeout.response],
    'timeout.linkerd.io/idle': ['timeout.idle', timeout.idle],
    'linkspan.dev/retry-budget-ratio': ['retry.budget.ratio', budget.ratio],
    'linkspan.dev/retry-budget-min-per-second': ['retry.budget.minPerSecond', budget.minPerSecond],
    'linkspan.dev/retry-budget-ttl': ['retry.budget.ttl', budget.ttl],
  };
  const annotations: Record<string, string> = {};
  for (const [name, [, value]] of Object.entries(said)) if (value !== undefined) annotations[name] = value;
  const read = readRequestAnnotations(annotations);
  const problems = read.problems.map((problem) => {
    const name = problem.slice(0, problem.indexOf(':'));
    return refusal(problem.replace(name, said[name]?.[0] ?? name));
  });
  if (profile === undefined) return { ...read, problems };
  const routes = readServiceProfile(profile);
  const requests = routes.requests ?? read.requests;
  return {
    ...(requests === undefined ? {} : { requests }),
    problems: [...problems, ...routes.problems.map((problem) => refusal(`profile: ${problem}`))],
  };
}

function refusal(problem: string): string {
  return problem.replace(/, it is [^,]*$/, '');
}

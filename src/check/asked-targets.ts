import { readableNamespaces } from '../api/link/readable-namespaces.ts';
import { systemClock, sleep } from '../base/clock.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { secrets } from '../api/kubernetes/resource.ts';
import { clientFor } from '../kube/client/scoped-client.ts';
import { accessFromSecret } from '../linking/credentials.ts';
import { type LinkObject } from '../api/link/link-schema.ts';
import type { CheckFacts } from './check-facts.ts';

/**
 * Runs `use` with a client of a Link's target, with the Link's own credentials, from where this program runs.
 * Each target has a timeout of its own, shorter than the check's, so that one that hangs does not hide the
 * answers of the others.
 * @returns undefined where the Secret does not exist
 * @throws LinkspanError KUBE_UNREACHABLE after the timeout; what `use` throws, or CREDENTIALS_INVALID
 */
export async function askTarget<T>(
  facts: CheckFacts,
  link: LinkObject,
  use: (client: KubeClient) => Promise<T>,
): Promise<T | undefined> {
  const name = link.spec?.clusterCredentialsSecret ?? '';
  const secret = await facts.find(secrets, { namespace: facts.namespace, name });
  if (secret === undefined) return undefined;
  const client = clientFor(
    accessFromSecret(secret),
    { clock: systemClock, random: Math.random, maxTries: 1 },
    readableNamespaces(link.metadata?.annotations),
  );
  const answered = new AbortController();
  try {
    return await Promise.race([
      use(client),
      sleep(systemClock, facts.targetMs, answered.signal).then((): never => {
        throw new LinkspanError(
          'KUBE_UNREACHABLE',
          `${client.server} gave no answer within ${facts.targetMs / 1000} s`,
        );
      }),
    ]);
  } finally {
    answered.abort();
    await client.close();
  }
}

import { codeOf, LinkspanError } from '../api/errors/linkspan-error.ts';
import { services } from '../api/kubernetes/resource.ts';
import { links } from '../api/link/link-schema.ts';
import { CLI_MANAGER } from '../api/names.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { drainPatch, type DrainPlan, type DrainWrite } from './drain-plan.ts';

/**
 * How often a write is tried that somebody else was faster than. The status of a Link is written every few
 * seconds while mirrors change, and each of these writes makes another version of it.
 */
const MAX_TRIES = 8;

/** A plan that was made, and whether it was carried out. */
export interface Applied<T> {
  readonly plan: T;
  readonly written: boolean;
}

/**
 * Plans with `plan`, which reads anew each time, and writes what it says; again where the object has changed
 * in between, so that nothing is written that was decided on older facts.
 * @param mayWrite whether a plan is to be carried out
 * @throws LinkspanError of `plan`, and KUBE_…
 */
export async function applyDrain<T extends { readonly write: DrainWrite | undefined }>(
  client: Pick<KubeClient, 'patch'>,
  plan: () => Promise<T>,
  mayWrite: (plan: T) => boolean,
): Promise<Applied<T>> {
  for (let tries = 1; ; tries++) {
    const planned = await plan();
    const { write } = planned;
    if (write === undefined || !mayWrite(planned)) return { plan: planned, written: false };
    try {
      await send(client, write);
      return { plan: planned, written: true };
    } catch (error) {
      if (codeOf(error) !== 'KUBE_CONFLICT' || tries >= MAX_TRIES) throw error;
    }
  }
}

async function send(client: Pick<KubeClient, 'patch'>, write: DrainWrite): Promise<void> {
  const { namespace = '', name = '' } = write.on.metadata ?? {};
  const options = { type: 'merge', fieldManager: CLI_MANAGER } as const;
  const body = drainPatch(write);
  if (write.kind === 'links') await client.patch(links, { namespace, name }, body, options);
  else await client.patch(services, { namespace, name }, body, options);
}

/**
 * Refuses a plan that is not safe.
 * @throws LinkspanError DRAIN_TOO_MANY, DRAIN_SOLE_BACKEND, DRAIN_CAPACITY: the first, with what the others
 * say
 */
export function assertSafe({ findings }: Pick<DrainPlan, 'findings'>): void {
  const [first] = findings;
  if (first === undefined) return;
  throw new LinkspanError(first.code, findings.map(({ message }) => message).join('; '));
}

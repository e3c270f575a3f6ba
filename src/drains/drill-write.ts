import { readAnnotation } from '../api/annotations.ts';
import { type ConnectionDrill, readDrill, writeDrill } from '../api/failover/connection-drill.ts';
import { codeOf } from '../api/errors/linkspan-error.ts';
import { FAILOVER_DRILL } from '../api/failover/failover-names.ts';
import type { KubeObject, Resource } from '../api/kubernetes/resource.ts';
import { CLI_MANAGER } from '../api/names.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';

/** How often a write is tried that somebody else was faster than. */
const MAX_TRIES = 8;

/** The object that a drill stands on: a Link, or a gateway's Service. */
export interface DrillPlace {
  readonly resource: Resource<KubeObject>;
  readonly namespace: string;
  readonly name: string;
}

/** The drill that an object says is on now; undefined: none is. @param now milliseconds since the epoch */
export function standingDrill({ metadata }: KubeObject, now: number): ConnectionDrill | undefined {
  const drill = readDrill(readAnnotation(metadata?.annotations, FAILOVER_DRILL));
  return drill === undefined || now >= drill.until ? undefined : drill;
}

/** Writes the drill to an object, bound to the version that was read; again where that has changed. */
export async function beginConnectionDrill(
  client: Pick<KubeClient, 'get' | 'patch'>,
  place: DrillPlace,
  drill: ConnectionDrill,
): Promise<void> {
  await annotate(client, place, () => writeDrill(drill));
}

/** Takes it away, if it is still that one. */
export async function endConnectionDrill(
  client: Pick<KubeClient, 'get' | 'patch'>,
  place: DrillPlace,
  drill: ConnectionDrill,
): Promise<void> {
  await annotate(client, place, (there) => (there?.until === drill.until ? null : undefined));
}

/** @param next what is to stand there; null: nothing; undefined: what stands there stays */
async function annotate(
  client: Pick<KubeClient, 'get' | 'patch'>,
  { resource, namespace, name }: DrillPlace,
  next: (there: ConnectionDrill | undefined) => string | null | undefined,
): Promise<void> {
  const ref = { namespace, name };
  for (let tries = 1; ; tries++) {
    const { metadata: now } = await client.get(resource, ref);
    const value = next(readDrill(readAnnotation(now?.annotations, FAILOVER_DRILL)));
    if (value === undefined) return;
    const { uid, resourceVersion } = now ?? {};
    const patch = { metadata: { uid, resourceVersion, annotations: { [FAILOVER_DRILL]: value } } };
    try {
      await client.patch(resource, ref, patch, { type: 'merge', fieldManager: CLI_MANAGER });
      return;
    } catch (error) {
      if (codeOf(error) !== 'KUBE_CONFLICT' || tries >= MAX_TRIES) throw error;
    }
  }
}

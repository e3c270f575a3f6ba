import type { V1Service } from '@kubernetes/client-node';
import { readAnnotation } from '../api/annotations.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { readDrain } from '../api/failover/failover-drain.ts';
import { FAILOVER_DRAIN } from '../api/failover/failover-names.ts';
import { services } from '../api/kubernetes/resource.ts';
import { isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { type DrainWish, endedDrain, newDrain } from '../policy/failover/drain-change.ts';
import type { DrainWrite } from './drain-plan.ts';

/** Reads the Service of a gateway. @throws LinkspanError GATEWAY_NOT_FOUND, KUBE_… */
export async function readGatewayService(
  client: Pick<KubeClient, 'get'>,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Promise<V1Service> {
  try {
    return await client.get(services, { namespace, name });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new LinkspanError('GATEWAY_NOT_FOUND', `there is no gateway Service ${namespace}/${name}`);
  }
}

/**
 * A target's wish to be drained. Whether the others can bear it only sources know, each for itself; what they
 * cannot send elsewhere they go on sending here. Pure.
 */
export function planGatewayDrain(service: V1Service, wish: DrainWish, now: number): DrainWrite {
  return writeOf(service, newDrain(wish, drainOf(service), now));
}

/** The end of that wish; undefined: there is none. Pure. */
export function planGatewayUndrain(service: V1Service, now: number): DrainWrite | undefined {
  const there = drainOf(service);
  const drain = there === undefined ? undefined : endedDrain(there, now);
  return drain === undefined ? undefined : writeOf(service, drain);
}

function drainOf({ metadata }: V1Service): ReturnType<typeof readDrain> {
  return readDrain(readAnnotation(metadata?.annotations, FAILOVER_DRAIN));
}

function writeOf(on: V1Service, drain: DrainWrite['drain']): DrainWrite {
  return { on, kind: 'services', annotation: FAILOVER_DRAIN, drain };
}

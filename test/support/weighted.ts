import type { FailoverFacts } from '../../src/api/failover/failover-facts.ts';
import { FAILOVER_CONTROLLED_BY } from '../../src/api/failover/failover-names.ts';
import type { WeightedKind, WeightedObject } from '../../src/policy/weights/weighted-object.ts';
import {
  type WeightsFacts,
  weightsVerdict,
  type WeightsVerdict,
} from '../../src/controllers/weights/weights-verdict.ts';
import { weightsPatch } from '../../src/controllers/weights/weights-plan.ts';

export const SPLIT: WeightedKind = { kind: 'TrafficSplit', field: 'backends' };
export const HTTP_ROUTE: WeightedKind = { kind: 'HTTPRoute', field: 'rules' };

/** A TrafficSplit of `shop` that we are asked to manage. */
export function managedSplit(
  weights: Readonly<Record<string, number | string>>,
  more: { annotations?: Record<string, string>; controller?: string; writer?: string } = {},
): WeightedObject {
  const { annotations = {}, controller = 'linkspan', writer } = more;
  return {
    apiVersion: 'split.smi-spec.io/v1alpha2',
    kind: 'TrafficSplit',
    metadata: {
      namespace: 'shop',
      name: 'web',
      resourceVersion: '7',
      labels: controller === '' ? {} : { [FAILOVER_CONTROLLED_BY]: controller },
      annotations,
      ...(writer === undefined ? {} : { managedFields: [writerEntry(writer, 'backends')] }),
    },
    spec: {
      service: 'web',
      backends: Object.entries(weights).map(([service, weight]) => ({ service, weight })),
    },
  };
}

/** An HTTPRoute of `shop` with these rules that we are asked to manage. */
export function managedRoute(
  rules: readonly object[],
  annotations: Record<string, string> = {},
): WeightedObject {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: {
      namespace: 'shop',
      name: 'web',
      resourceVersion: '7',
      labels: { [FAILOVER_CONTROLLED_BY]: 'linkspan' },
      annotations,
    },
    spec: { parentRefs: [{ group: 'core', kind: 'Service', name: 'web', port: 80 }], rules },
  };
}

export function writerEntry(manager: string, field: string) {
  return { manager, operation: 'Update', time: new Date(0), fieldsV1: { 'f:spec': { [`f:${field}`]: {} } } };
}

/** A backend with so many of so many endpoints ready, which was always so. */
export function healthy(ready: number, expected = ready): FailoverFacts {
  const usableSince = ready === 0 ? null : 0;
  return { path: 'alive', ready, known: expected, expected, usableSince, flaps: 0, lastWord: 0 };
}

/** A verdict about an object, with all that it depends on as in a cluster where nothing is wrong. */
export function judged(
  object: WeightedObject,
  facts: Readonly<Record<string, FailoverFacts>>,
  more: Partial<WeightsFacts> = {},
): WeightsVerdict {
  return weightsVerdict({
    kind: SPLIT,
    object,
    clusterDomain: 'cluster.local',
    controllers: new Set(['linkspan']),
    linkerdFailover: false,
    backendOf: (service) => ({ facts: facts[service.slice('shop/'.length)] }),
    overwritten: 0,
    now: 1_000_000_000_000,
    ...more,
  });
}

/** An object after the write that a verdict asks for (RFC 7396); the same object where it asks for none. */
export function written(
  object: WeightedObject,
  verdict: WeightsVerdict,
  kind: WeightedKind = SPLIT,
): WeightedObject {
  const patch = weightsPatch(kind, object, verdict, new Map());
  if (patch === undefined) return object;
  const annotations = { ...object.metadata?.annotations };
  for (const [name, value] of Object.entries(patch.metadata.annotations ?? {}))
    if (value === null) delete annotations[name];
    else annotations[name] = value;
  return {
    ...object,
    metadata: { ...object.metadata, annotations },
    spec: { ...(object.spec as object), ...patch.spec },
  };
}

/** The weights of a TrafficSplit, by backend. */
export function weightsOf(object: WeightedObject): Record<string, unknown> {
  const { backends } = object.spec as { backends: { service: string; weight?: unknown }[] };
  return Object.fromEntries(backends.map(({ service, weight }) => [service, weight]));
}

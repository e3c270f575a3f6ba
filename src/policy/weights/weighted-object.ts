import { createHash } from 'node:crypto';
import type { V1ManagedFieldsEntry } from '@kubernetes/client-node';
import { readAnnotation } from '../../api/annotations.ts';
import { isWrittenWeight, type WrittenWeight } from '../../api/failover/backend-weights.ts';
import { FAILOVER_PRIMARY_SERVICE } from '../../api/failover/failover-names.ts';
import type { KubeObject } from '../../api/kubernetes/resource.ts';
import type { WeightedSource } from '../../api/routing/weighted-kinds.ts';
import { serviceParents } from '../../api/routing/route-spec.ts';
import { readDstOverrides } from '../../api/routing/dst-overrides.ts';

/**
 * An object whose backends have weights, as its API server has it; nothing of its spec has been looked at.
 */
export type WeightedObject = KubeObject & { readonly spec?: unknown };

/** Where the lists of backends of a kind stand, and what their entries are. */
export interface WeightedKind {
  readonly kind: WeightedSource['kind'];
  /** The field of `spec` that is written as a whole: lists are atomic in these kinds. */
  readonly field: 'backends' | 'rules' | 'dstOverrides';
}

const FIELDS: Readonly<Record<WeightedKind['kind'], WeightedKind['field']>> = {
  TrafficSplit: 'backends',
  HTTPRoute: 'rules',
  GRPCRoute: 'rules',
  ServiceProfile: 'dstOverrides',
};

/** Where the lists of a kind stand. */
export function weightedKind(kind: WeightedKind['kind']): WeightedKind {
  return { kind, field: FIELDS[kind] };
}

/** One backend of a list. */
export interface ListedBackend {
  /** Unique in the list: a Service, with namespace and port where the kind says them. */
  readonly id: string;
  /** `namespace/name` of its Service. */
  readonly service: string;
  /** The name of its Service, by which tiers call it. */
  readonly name: string;
  readonly weight: WrittenWeight;
}

/** A list of backends as it stands. */
export interface StandingList {
  /** The number of the rule; 0 where there is one list only. */
  readonly at: number;
  /** As `KeptList.rule`. */
  readonly rule: string;
  /** Undefined: it is none that could be managed. */
  readonly backends: readonly (ListedBackend | undefined)[];
}

/** A list of backends whose weights can be managed. */
export interface BackendList extends StandingList {
  readonly backends: readonly ListedBackend[];
}

/** What is read of an object: its lists, and what keeps some of them from being managed. */
export interface ReadLists {
  /** Those of two backends or more that can be managed. */
  readonly lists: readonly BackendList[];
  readonly others: readonly StandingList[];
  /** One line each. */
  readonly problems: readonly string[];
}

type Entry = Readonly<Record<string, unknown>>;

/** Most backends of a list, as TrafficSplits are read elsewhere; Gateway API allows 16. */
const MAX_BACKENDS = 64;
const MAX_RULES = 64;

/** Objects of a store never change; many events are about one that was read before. */
const READ = new WeakMap<WeightedObject, ReadLists>();

/** @param clusterDomain such as `cluster.local`, for the authorities of ServiceProfiles; always the same */
export function readLists(kind: WeightedKind, object: WeightedObject, clusterDomain: string): ReadLists {
  const known = READ.get(object);
  if (known !== undefined) return known;
  const read = readAll(kind, object, clusterDomain);
  READ.set(object, read);
  return read;
}

function readAll({ kind, field }: WeightedKind, object: WeightedObject, clusterDomain: string): ReadLists {
  const namespace = object.metadata?.namespace ?? '';
  const entries = entriesOf(asEntry(object.spec)?.[field]);
  const isRoute = kind === 'HTTPRoute' || kind === 'GRPCRoute';
  const standing = (items: readonly Entry[], at: number, rule: string): StandingList => {
    const read = items.slice(0, MAX_BACKENDS + 1);
    return { at, rule, backends: read.map((item) => READERS[kind](item, namespace, clusterDomain)) };
  };
  const all = isRoute
    ? entries.map((rule, at) => standing(entriesOf(rule['backendRefs']), at, fingerprint(rule)))
    : [standing(entries, 0, '')];
  return sorted(all, namespace, isRoute);
}

/** Which lists are managed, and why the others are not. */
function sorted(all: readonly StandingList[], namespace: string, isRoute: boolean): ReadLists {
  const lists: BackendList[] = [];
  const others: StandingList[] = [];
  const problems: string[] = [];
  for (const list of all) {
    const isChoice = list.backends.length > 1;
    const problem = isChoice ? problemOf(list, namespace) : undefined;
    if (isChoice && problem === undefined) lists.push(list as BackendList);
    else others.push(list);
    if (problem !== undefined) problems.push(isRoute ? `rule ${list.at + 1}: ${problem}` : problem);
  }
  if (lists.length === 0 && problems.length === 0) problems.push('there are no two backends to choose from');
  return { lists, others, problems };
}

/** Tells a rule from others: all that it says, but for weights. */
function fingerprint(rule: Entry): string {
  const refs = entriesOf(rule['backendRefs']).map((ref) => ({ ...ref, weight: undefined }));
  return createHash('sha256')
    .update(JSON.stringify({ ...rule, backendRefs: refs }))
    .digest('hex')
    .slice(0, 12);
}

/**
 * The names of the Services of its own namespace that an object is about: whose requests it divides.
 * @param clusterDomain as `readLists`
 */
export function subjectsOf(
  { kind }: WeightedKind,
  { metadata, spec }: WeightedObject,
  clusterDomain: string,
): string[] {
  const { namespace = '', name = '' } = metadata ?? {};
  if (kind === 'TrafficSplit') {
    const service = asEntry(spec)?.['service'];
    return typeof service === 'string' ? [service] : [];
  }
  if (kind === 'ServiceProfile') {
    const end = `.${namespace}.svc.${clusterDomain}`;
    return name.endsWith(end) ? [name.slice(0, -end.length)] : [];
  }
  const parents = serviceParents(spec, namespace).filter((parent) => parent.namespace === namespace);
  return [...new Set(parents.map((parent) => parent.name))];
}

/** `failover.linkerd.io/primary-service` of an object. */
export function primaryOf(object: WeightedObject): string | undefined {
  return readAnnotation(object.metadata?.annotations, FAILOVER_PRIMARY_SERVICE);
}

/**
 * Who wrote the weights of an object last, as its `managedFields` say (field managers, KEP-555); undefined:
 * it does not say.
 */
export function weightsWriter({ field }: WeightedKind, { metadata }: WeightedObject): string | undefined {
  const writers = (metadata?.managedFields ?? []).filter((entry) => hasField(entry, field));
  return writers.toSorted((a, b) => timeOf(b) - timeOf(a))[0]?.manager;
}

/** The weights of a list, in the order of its backends; undefined: it stays as it is. */
export type ListWeights = readonly (WrittenWeight | undefined)[];

/** The value of `spec[field]` with other weights; what is not named stays. */
export function withWeights(
  { kind, field }: WeightedKind,
  object: WeightedObject,
  weights: ReadonlyMap<number, ListWeights>,
): unknown {
  const entries = entriesOf(asEntry(object.spec)?.[field]);
  if (kind === 'TrafficSplit' || kind === 'ServiceProfile') return weighed(entries, weights.get(0));
  return entries.map((rule, at) =>
    weights.has(at) ? { ...rule, backendRefs: weighed(entriesOf(rule.backendRefs), weights.get(at)) } : rule,
  );
}

function weighed(items: readonly Entry[], weights: ListWeights | undefined): readonly Entry[] {
  return items.map((item, nth) => {
    const weight = weights?.[nth];
    if (weight === undefined) return item;
    const { weight: _weight, ...rest } = item;
    return weight === null ? rest : { ...item, weight };
  });
}

type ReadBackend = (item: Entry, namespace: string, clusterDomain: string) => ListedBackend | undefined;

const CORE: ReadonlySet<unknown> = new Set([undefined, null, '', 'core']);
const SERVICE: ReadonlySet<unknown> = new Set([undefined, null, 'Service']);

const readRef: ReadBackend = ({ group, kind, namespace: other, name, port, weight = null }, own) => {
  if (!CORE.has(group) || !SERVICE.has(kind)) return undefined;
  if (typeof name !== 'string' || !isWrittenWeight(weight)) return undefined;
  const namespace = typeof other === 'string' && other !== '' ? other : own;
  const id = `${namespace === own ? '' : `${namespace}/`}${name}${typeof port === 'number' ? `:${port}` : ''}`;
  return { id, service: `${namespace}/${name}`, name, weight };
};

const READERS: Readonly<Record<WeightedKind['kind'], ReadBackend>> = {
  TrafficSplit: ({ service, weight = null }, namespace) =>
    typeof service === 'string' && isWrittenWeight(weight)
      ? { id: service, service: `${namespace}/${service}`, name: service, weight }
      : undefined,
  HTTPRoute: readRef,
  GRPCRoute: readRef,
  ServiceProfile: (item, _namespace, clusterDomain) => {
    const { authority, weight = null } = item;
    if (typeof authority !== 'string' || !isWrittenWeight(weight)) return undefined;
    const [said] = overridesOf(authority, clusterDomain);
    if (said === undefined) return undefined;
    return { id: authority, service: `${said.namespace}/${said.service}`, name: said.service, weight };
  },
};

function overridesOf(authority: string, clusterDomain: string): ReturnType<typeof readDstOverrides> {
  try {
    return readDstOverrides([{ authority, weight: 1 }], clusterDomain);
  } catch {
    // It is somebody's text: the list is left alone, and its problem says so.
    return [];
  }
}

/**
 * Services of other namespaces are none of an object's business: how many endpoints they have would stand in
 * it, and whoever may write it could have this program watch any number of namespaces.
 */
function problemOf({ at, backends }: StandingList, namespace: string): string | undefined {
  if (at >= MAX_RULES) return `weights of ${MAX_RULES} rules are written`;
  if (backends.length > MAX_BACKENDS) return `it has more than ${MAX_BACKENDS} backends`;
  const names = new Set<string>();
  for (const [nth, backend] of backends.entries()) {
    if (backend === undefined) return `backend ${nth + 1} is not a Service with a weight`;
    if (!backend.service.startsWith(`${namespace}/`))
      return `the Service ${backend.service} is in another namespace`;
    if (names.has(backend.name)) return `the Service ${backend.name} is there twice`;
    names.add(backend.name);
  }
  return undefined;
}

function hasField({ fieldsV1 }: V1ManagedFieldsEntry, field: string): boolean {
  const spec = asEntry(asEntry(fieldsV1)?.['f:spec']);
  return spec !== undefined && `f:${field}` in spec;
}

function timeOf({ time }: V1ManagedFieldsEntry): number {
  return time === undefined ? 0 : new Date(time).getTime();
}

function entriesOf(value: unknown): readonly Entry[] {
  return Array.isArray(value) ? (value as readonly unknown[]).map((one) => asEntry(one) ?? {}) : [];
}

function asEntry(value: unknown): Entry | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Entry) : undefined;
}

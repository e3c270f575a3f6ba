import type { V1EndpointSlice, V1Pod, V1Service } from '@kubernetes/client-node';
import type { LinkReport } from '../../api/answers/admin-answers.ts';
import { MIRRORS_PAGE } from '../../api/answers/admin-answers.ts';
import { codeOf, messageOf } from '../../api/errors/linkspan-error.ts';
import { endpointSlices, pods, services } from '../../api/kubernetes/resource.ts';
import { EXPORTED_LABEL, REMOTE_UID } from '../../api/names.ts';
import { clusterOf, isMirrored, MIRRORED_SELECTOR } from '../../api/mirror/mirror-labels.ts';
import { readObjective } from '../../api/objective.ts';
import { readAnnotation } from '../../api/annotations.ts';
import { sliceService } from '../../exports/slices-by-service.ts';
import { isForbidden, isNotFound, type KubeClient } from '../../kube/client/kube-client.ts';
import type { ClusterReading, Endpoints, LinkFacts, ServiceFacts } from '../../traffic/cluster-reading.ts';
import { within } from '../flags/cluster-flags.ts';
import { askControllers, mergeReports } from '../queries/controller-answers.ts';
import { gatherLinks, type LinkRow } from '../queries/link-rows.ts';

/** Share of the time that it may take: numbers of processes are shown without it. */
const SHARE = 0.6;

/** A cluster to be asked. */
export interface AskedCluster {
  /** What it is called until something else is known: its context. */
  readonly name: string;
  readonly client: KubeClient;
  /** Namespace of the installation. */
  readonly namespace: string;
}

/** What is read beside the numbers of processes. */
export interface Wanted {
  /** Services, with objectives and endpoints, and what controllers say of mirrors. */
  readonly services: boolean;
  readonly links: boolean;
  /** Pods everywhere, for the names of clients. */
  readonly pods: boolean;
  /** What the installation's pods use, where the cluster measures it. */
  readonly usage: boolean;
  /** Processes that do not answer are shown, so that there need be none that does. */
  readonly silent: boolean;
  /** Only of this namespace. */
  readonly namespace: string | undefined;
}

/** What was read of it. */
export interface Surroundings extends Pick<ClusterReading, 'links' | 'pods' | 'reports' | 'services'> {
  readonly usage: ReadonlyMap<string, { readonly cpu: string; readonly memory: string }>;
  /** The same Links as the API server has them. */
  readonly linkRows: readonly LinkRow[];
  /** Why no controller has said anything of mirrors; undefined: one has, or none was asked. */
  readonly controllersSilent: string | undefined;
  /** What could not be read, and why. */
  readonly unread: readonly string[];
}

/**
 * Reads what stands around the numbers. None of it is needed: what may not be read, or is not there, is named
 * and left out.
 */
export async function readSurroundings(
  { client, namespace }: AskedCluster,
  wanted: Wanted,
  timeoutMs: number,
): Promise<Surroundings> {
  const unread: string[] = [];
  const noted: { readonly code: string | undefined; readonly text: string; readonly read: object }[] = [];
  const optional = async <T>(isWanted: boolean, otherwise: T, read: () => Promise<T>): Promise<T> => {
    if (!isWanted) return otherwise;
    try {
      return await within(timeoutMs * SHARE, client.server, read());
    } catch (error) {
      noted.push({ code: codeOf(error), text: messageOf(error), read });
      return otherwise;
    }
  };
  const controllers = { controllerNamespace: namespace, controller: undefined, timeout: timeoutMs };
  const readReports = async () => {
    const { answers, failures } = await askControllers(client, controllers, MIRRORS_PAGE);
    unread.push(...failures);
    return mergeReports(answers);
  };
  const [found, reports, linkRows, named, usage] = await Promise.all([
    optional(wanted.services, [], () => readServices(client, wanted.namespace, unread)),
    optional<readonly LinkReport[]>(wanted.services, [], readReports),
    optional(wanted.links, [], async () => (await gatherLinks(client, controllers, false)).rows),
    optional(wanted.pods, new Map(), () => readPods(client)),
    optional(wanted.usage, new Map(), () => readUsage(client, namespace)),
  ]);
  const hasMirrors = found.some(({ mirror }) => mirror !== undefined);
  // A cluster that links to none has neither controllers that hold anything nor, maybe, the kind.
  const isNothing = (code: string | undefined) =>
    code === 'LINK_CRD_MISSING' || (code === 'CONTROLLER_NOT_FOUND' && !hasMirrors);
  unread.push(...noted.filter(({ code }) => !isNothing(code)).map(({ text }) => text));
  const controllersSilent = noted.find(({ read }) => read === readReports);
  return {
    services: found,
    reports,
    links: linkRows.map(linkFacts),
    linkRows,
    controllersSilent: controllersSilent && (controllersSilent.code ?? controllersSilent.text),
    pods: named,
    usage,
    unread,
  };
}

async function readServices(
  client: KubeClient,
  namespace: string | undefined,
  problems: string[],
): Promise<ServiceFacts[]> {
  const where = namespace === undefined ? {} : { namespace };
  const [exported, mirrors, slices] = await Promise.all([
    client.list(services, { ...where, labelSelector: EXPORTED_LABEL }),
    client.list(services, { ...where, labelSelector: MIRRORED_SELECTOR }),
    client.list(endpointSlices, { ...where, labelSelector: MIRRORED_SELECTOR }),
  ]);
  const endpoints = endpointsByService(slices.items);
  const all = [...mirrors.items, ...exported.items.filter((service) => !isMirrored(service))];
  return all.map((service) => serviceFacts(service, endpoints, problems));
}

function serviceFacts(
  service: V1Service,
  endpoints: ReadonlyMap<string, Endpoints>,
  problems: string[],
): ServiceFacts {
  const { namespace = '', name = '', uid = '', annotations } = service.metadata ?? {};
  const { objective, problem } = readObjective(annotations);
  if (problem !== undefined) problems.push(`${namespace}/${name}: ${problem}`);
  const cluster = isMirrored(service) ? clusterOf(service) : undefined;
  const remoteUid = readAnnotation(annotations, REMOTE_UID) ?? '';
  const mirror = cluster === undefined ? undefined : { cluster, remoteUid };
  const exported = !isMirrored(service);
  return {
    namespace,
    name,
    uid,
    objective,
    exported,
    mirror,
    endpoints: endpoints.get(`${namespace}/${name}`),
  };
}

/** Endpoints of mirrors by Service. One that says nothing is ready, as kube-proxy has it. */
function endpointsByService(slices: readonly V1EndpointSlice[]): Map<string, Endpoints> {
  const found = new Map<string, Endpoints>();
  for (const slice of slices)
    for (const key of sliceService(slice)) {
      const all = (slice.endpoints ?? []).flatMap(({ addresses, conditions }) =>
        addresses.map(() => conditions?.ready !== false),
      );
      const { ready, known } = found.get(key) ?? { ready: 0, known: 0 };
      found.set(key, { ready: ready + all.filter((one) => one).length, known: known + all.length });
    }
  return found;
}

function linkFacts({ name, cluster, mirrors, conditions }: LinkRow): LinkFacts {
  const bad = Object.values(conditions).find(({ status, reason }) => status === 'False' && reason !== '');
  const trouble = bad === undefined ? undefined : { reason: bad.reason, message: bad.message };
  return { name, cluster, mirrors, trouble };
}

/** Phases of pods that have given their address back, maybe to another. */
const OVER: ReadonlySet<string | undefined> = new Set(['Succeeded', 'Failed']);

/** By address; pods of the host's network share theirs with others, and are nobody by it. */
async function readPods(client: KubeClient): Promise<ClusterReading['pods']> {
  // A cluster has many, and little of each is looked at.
  const keep = ({ metadata, spec, status }: V1Pod): V1Pod | undefined => {
    if (spec?.hostNetwork === true || OVER.has(status?.phase)) return undefined;
    const { namespace = '', name = '' } = metadata ?? {};
    return { metadata: { namespace, name }, status: { podIPs: status?.podIPs ?? [] } };
  };
  const { items } = await client.list(pods, { keep });
  return new Map(
    items.flatMap(({ metadata, status }) => {
      const { namespace = '', name = '' } = metadata ?? {};
      return (status?.podIPs ?? []).map(({ ip }) => [ip, { namespace, name }] as const);
    }),
  );
}

interface PodMetrics {
  readonly items?: readonly {
    readonly metadata?: { readonly name?: string };
    readonly containers?: readonly { readonly usage?: { readonly cpu?: string; readonly memory?: string } }[];
  }[];
}

/** What `kubectl top pod` says; a cluster need not measure it, nor let everybody see it. */
async function readUsage(client: KubeClient, namespace: string): Promise<Surroundings['usage']> {
  const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods`;
  try {
    const { items = [] } = (await client.raw('GET', path)) as PodMetrics;
    return new Map(
      items.map(({ metadata, containers = [] }) => {
        const { cpu = '-', memory = '-' } = containers[0]?.usage ?? {};
        return [metadata?.name ?? '', { cpu, memory }];
      }),
    );
  } catch (error) {
    if (isNotFound(error) || isForbidden(error)) return new Map();
    throw error;
  }
}

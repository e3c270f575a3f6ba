import { readableNamespaces } from './readable-namespaces.ts';
import type { V1LabelSelector, V1ObjectMeta } from '@kubernetes/client-node';
import { isPort } from '../egress/egress-ports.ts';
import { z } from 'zod';
import { type Annotations, readAnnotation } from '../annotations.ts';
import { parseDuration } from '../../base/duration.ts';
import {
  ACCEPTED_CLUSTER,
  DATA_PATH,
  DEFAULT_CLUSTER_DOMAIN,
  DEFAULT_LINKERD_NAMESPACE,
  LOCAL,
  READABLE_NAMESPACES,
} from '../names.ts';
import { FEW_VALUES } from '../../base/config.ts';
import { isDnsLabel, listItems } from '../../base/text.ts';
import { neverRemote } from '../../base/ip-ranges.ts';
import { createdAt, type Resource } from '../kubernetes/resource.ts';
import { type ImportPolicy, isHost, isHostName, keyTest, parseImportPolicy } from './import-policy.ts';
import { parseSelector, type Selector } from '../kubernetes/label-selector.ts';
import type { LinkStatus } from './link-status.ts';

/**
 * `spec` of a Link, field for field as Linkerd's CRD has it (v1alpha1 – v1alpha3); everything is optional and
 * numbers are strings.
 */
export interface LinkSpec {
  readonly targetClusterName?: string;
  readonly targetClusterDomain?: string;
  readonly targetClusterLinkerdNamespace?: string;
  readonly clusterCredentialsSecret?: string;
  readonly gatewayAddress?: string;
  readonly gatewayPort?: string;
  readonly gatewayIdentity?: string;
  readonly probeSpec?: {
    readonly path?: string;
    readonly port?: string;
    readonly period?: string;
    readonly timeout?: string;
    readonly failureThreshold?: string;
  };
  readonly selector?: V1LabelSelector;
  readonly remoteDiscoverySelector?: V1LabelSelector;
  readonly federatedServiceSelector?: V1LabelSelector;
  readonly excludedAnnotations?: readonly string[];
  readonly excludedLabels?: readonly string[];
}

/** The custom resource `links.multicluster.linkerd.io`. */
export interface LinkObject {
  apiVersion?: string;
  kind?: string;
  metadata?: V1ObjectMeta;
  spec?: LinkSpec;
  status?: LinkStatus;
}

/** Linkerd's API group of Links. */
export const LINK_GROUP = 'multicluster.linkerd.io';
/** Name of their CustomResourceDefinition. */
export const LINK_CRD = `links.${LINK_GROUP}`;

export const links: Resource<LinkObject> = {
  group: LINK_GROUP,
  version: 'v1alpha3',
  kind: 'Link',
  plural: 'links',
  namespaced: true,
};

/**
 * Annotations that `parseLink` reads, beside those of the import policy: a Link with another value is another
 * Link.
 */
export const LINK_ANNOTATIONS = [DATA_PATH, ACCEPTED_CLUSTER, READABLE_NAMESPACES] as const;

/** A Link, checked and in the forms that the rest of the program works with. */
export interface Link {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /**
   * Milliseconds since the epoch, Infinity where it does not say; the oldest of two Links for one cluster
   * wins.
   */
  readonly createdAt: number;
  readonly generation: number;
  readonly targetClusterName: string;
  readonly targetClusterDomain: string;
  readonly targetLinkerdNamespace: string;
  readonly credentialsSecret: string;
  /** Undefined when the Link names no gateway (flat mirrors only). */
  readonly gateway: LinkGateway | undefined;
  /** Undefined when the gateway is not to be probed. */
  readonly probe: LinkProbe | undefined;
  readonly selector: Selector;
  readonly remoteDiscoverySelector: Selector;
  readonly federatedServiceSelector: Selector;
  readonly excludedLabel: (key: string) => boolean;
  readonly excludedAnnotation: (key: string) => boolean;
  /** The annotation `linkspan.dev/data-path`; undefined = the controller's default. */
  readonly dataPath: 'gateway' | 'relay' | undefined;
  /**
   * The annotation `linkspan.dev/accept-cluster`: the rebuilt cluster (UID of its `default/kubernetes`
   * Service) that a person has accepted.
   */
  readonly acceptedUid: string | undefined;
  /**
   * The annotation `linkspan.dev/readable-namespaces`: where in the target the account may look; undefined:
   * everywhere.
   */
  readonly readableNamespaces: readonly string[] | undefined;
  /** What the source takes from the target: the annotations `linkspan.dev/import-*`. */
  readonly imports: ImportPolicy;
}

export interface LinkGateway {
  /** IP addresses and host names, without duplicates, in the Link's order. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly identity: string;
}

export interface LinkProbe {
  readonly path: string;
  readonly port: number;
  readonly periodMs: number;
  readonly timeoutMs: number;
  readonly failureThreshold: number;
}

/** One thing that is wrong with a Link: which field, and a sentence. */
export interface LinkProblem {
  readonly field: string;
  readonly problem: string;
}

export type LinkVerdict =
  | { readonly ok: true; readonly link: Link }
  | { readonly ok: false; readonly problems: readonly LinkProblem[] };

const text = z.string().transform((value) => value.trim());
const port = text.transform((value, context) => {
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= 1 && number <= 65_535) return number;
  context.addIssue({ code: 'custom', message: `"${value}" is not a port number between 1 and 65535` });
  return z.NEVER;
});
const duration = text.transform((value, context) => {
  const ms = parseDuration(value);
  if (ms !== undefined && ms > 0) return ms;
  context.addIssue({ code: 'custom', message: `"${value}" is not a duration such as 3s or 500ms` });
  return z.NEVER;
});
const count = text.transform((value, context) => {
  if (/^[1-9]\d*$/.test(value)) return Number(value);
  context.addIssue({ code: 'custom', message: `"${value}" is not a positive whole number` });
  return z.NEVER;
});
const selector = z
  .looseObject({})
  .nullable()
  .default(null)
  .transform((value, context) => {
    try {
      return parseSelector((value ?? undefined) as V1LabelSelector | undefined);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  });
const addresses = text.transform((value, context) => {
  const list = addressList(value);
  const bad = list.find((item) => !isHost(item));
  if (bad === undefined) return list;
  const kind = neverRemote(bad);
  const why =
    kind === 'not an IP address' && !isHostName(bad)
      ? 'is neither an IP address nor a host name'
      : `is ${kind ?? ''}: no gateway of another cluster has such an address`;
  context.addIssue({ code: 'custom', message: `"${bad}" ${why}` });
  return z.NEVER;
});
/** What is wrong with `LOCAL` as the name of a target cluster. */
export const NOT_LOCAL = `must not be ${LOCAL}: in tiers and drains that is the cluster itself`;
const clusterName = text
  .refine((value) => isDnsLabel(value), {
    message:
      'must be a DNS label (lower-case letters, digits and dashes), because it becomes the suffix of mirror names',
  })
  .refine((value) => value !== LOCAL, { message: NOT_LOCAL });
const nonEmpty = (what: string) => text.refine((value) => value !== '', { message: `must name ${what}` });
const orUndefined = <S extends z.ZodType>(schema: S) =>
  z.preprocess((value) => (value === '' || value === null ? undefined : value), schema.optional());

const specSchema = z.object({
  targetClusterName: z.preprocess((value) => value ?? '', clusterName),
  targetClusterDomain: orUndefined(text),
  targetClusterLinkerdNamespace: orUndefined(text),
  clusterCredentialsSecret: z.preprocess((value) => value ?? '', nonEmpty('the Secret with the kubeconfig')),
  gatewayAddress: orUndefined(addresses),
  gatewayPort: orUndefined(port),
  gatewayIdentity: orUndefined(text),
  probeSpec: z
    .object({
      path: orUndefined(text),
      port: orUndefined(port),
      period: orUndefined(duration),
      timeout: orUndefined(duration),
      failureThreshold: orUndefined(count),
    })
    .nullish(),
  selector,
  remoteDiscoverySelector: selector,
  federatedServiceSelector: selector,
  excludedAnnotations: z.array(z.string()).nullish(),
  excludedLabels: z.array(z.string()).nullish(),
});

type ParsedSpec = z.output<typeof specSchema>;

/**
 * Checks a Link. Never throws: whatever somebody put into the object, the answer is a Link or a list of what
 * is wrong with it.
 */
export function parseLink(object: LinkObject): LinkVerdict {
  const parsed = specSchema.safeParse(object.spec ?? {}, FEW_VALUES);
  const problems = parsed.success ? crossChecks(parsed.data) : zodProblems(parsed.error);
  const dataPath = readAnnotation(object.metadata?.annotations, DATA_PATH);
  problems.push(...annotationProblems(object.metadata?.annotations));
  const imports = parseImportPolicy(object.metadata?.annotations);
  for (const { annotation, problem } of imports.problems)
    problems.push({ field: `metadata.annotations[${annotation}]`, problem });
  if (!parsed.success || problems.length > 0) return { ok: false, problems };
  const link = normalize(object, parsed.data, dataPath as Link['dataPath']);
  return { ok: true, link: { ...link, imports: imports.policy } };
}

function annotationProblems(annotations: Annotations | undefined): LinkProblem[] {
  const problems: LinkProblem[] = [];
  const wrong = (name: string, problem: string) =>
    problems.push({ field: `metadata.annotations[${name}]`, problem });
  const dataPath = readAnnotation(annotations, DATA_PATH);
  if (dataPath !== undefined && dataPath !== 'gateway' && dataPath !== 'relay')
    wrong(DATA_PATH, `"${dataPath}" is neither gateway nor relay`);
  const readable = readableNamespaces(annotations);
  if (readable !== undefined && (readable.length === 0 || !readable.every((name) => isDnsLabel(name))))
    wrong(READABLE_NAMESPACES, 'is no list of namespaces, separated by commas');
  return problems;
}

function zodProblems(error: z.ZodError): LinkProblem[] {
  return error.issues.map((issue) => ({
    field: ['spec', ...issue.path.map(String)].join('.'),
    problem: issue.message,
  }));
}

function crossChecks(spec: ParsedSpec): LinkProblem[] {
  const problems: LinkProblem[] = [];
  if (spec.probeSpec?.path !== undefined && spec.probeSpec.port === undefined)
    problems.push({ field: 'spec.probeSpec.port', problem: 'is missing' });
  if (spec.gatewayAddress === undefined) return problems;
  if (spec.gatewayPort === undefined) problems.push({ field: 'spec.gatewayPort', problem: 'is missing' });
  if (spec.gatewayIdentity === undefined)
    problems.push({ field: 'spec.gatewayIdentity', problem: 'is missing' });
  return problems;
}

function normalize(object: LinkObject, spec: ParsedSpec, dataPath: Link['dataPath']): Omit<Link, 'imports'> {
  const metadata = object.metadata ?? {};
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    uid: metadata.uid ?? '',
    createdAt: createdAt(object),
    generation: metadata.generation ?? 0,
    targetClusterName: spec.targetClusterName,
    targetClusterDomain: spec.targetClusterDomain ?? DEFAULT_CLUSTER_DOMAIN,
    targetLinkerdNamespace: spec.targetClusterLinkerdNamespace ?? DEFAULT_LINKERD_NAMESPACE,
    credentialsSecret: spec.clusterCredentialsSecret,
    gateway: gatewayOf(spec),
    probe: probeOf(spec),
    selector: spec.selector,
    remoteDiscoverySelector: spec.remoteDiscoverySelector,
    federatedServiceSelector: spec.federatedServiceSelector,
    excludedLabel: keyTest(spec.excludedLabels ?? []),
    excludedAnnotation: keyTest(spec.excludedAnnotations ?? []),
    dataPath,
    acceptedUid: readAnnotation(metadata.annotations, ACCEPTED_CLUSTER),
    readableNamespaces: readableNamespaces(metadata.annotations),
  };
}

function gatewayOf(spec: ParsedSpec): LinkGateway | undefined {
  const { gatewayAddress, gatewayPort, gatewayIdentity } = spec;
  if (gatewayAddress === undefined || gatewayPort === undefined || gatewayIdentity === undefined)
    return undefined;
  return { addresses: gatewayAddress, port: gatewayPort, identity: gatewayIdentity };
}

/** The addresses of a gateway, without duplicates, in the order of `spec.gatewayAddress`. */
function addressList(said: string): string[] {
  return [...new Set(listItems(said))];
}

/**
 * The gateway of a Link of which nothing else need be right, for who only goes there: the egress serves on
 * while a person corrects a selector. Undefined where it names none, or not all of it.
 */
export function gatewayOfSpec(spec: LinkSpec | undefined): LinkGateway | undefined {
  const { gatewayAddress = '', gatewayPort, gatewayIdentity: identity = '' } = spec ?? {};
  const found = addressList(gatewayAddress);
  const number = Number(gatewayPort);
  if (found.length === 0 || !isPort(number) || identity === '') return undefined;
  return { addresses: found, port: number, identity };
}

/** Whether a Link says that it has a gateway, right or wrong. */
export function namesGateway({ spec }: LinkObject): boolean {
  return (spec?.gatewayAddress ?? '') !== '';
}

/** Linkerd's defaults: no probing without a path; timeout 30 s and three failures come from the CRD. */
function probeOf({ probeSpec }: ParsedSpec): LinkProbe | undefined {
  if (probeSpec?.path === undefined || probeSpec.port === undefined) return undefined;
  return {
    path: probeSpec.path,
    port: probeSpec.port,
    periodMs: probeSpec.period ?? 3000,
    timeoutMs: probeSpec.timeout ?? 30_000,
    failureThreshold: probeSpec.failureThreshold ?? 3,
  };
}

/** Which of two Links for one cluster comes first: the older one, of one age the first by name. */
export function isOlder(a: Link, b: Link): boolean {
  return a.createdAt === b.createdAt ? a.name < b.name : a.createdAt < b.createdAt;
}

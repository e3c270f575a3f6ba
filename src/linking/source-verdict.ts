import { destinationClusterOf, isCredentials } from '../api/credentials/credentials-secret.ts';
import type { V1Secret } from '@kubernetes/client-node';
import { readAnnotation } from '../api/annotations.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { CREATED_BY } from '../api/names.ts';
import { keyOf } from '../api/kubernetes/resource.ts';
import { type LinkObject, links as linkResource } from '../api/link/link-schema.ts';

/** What a source cluster has already, as far as it matters for a new Link. */
export interface SourceFacts {
  /** UID of the source's own `default/kubernetes` Service; undefined where it may not be read. */
  readonly uid: string | undefined;
  readonly namespaceExists: boolean;
  /** Whether the namespace of Linkerd's control plane exists, for the destination controller's Secret. */
  readonly linkerdNamespaceExists: boolean;
  /** All Links of the namespace; undefined: the CustomResourceDefinition is missing. */
  readonly links: readonly LinkObject[] | undefined;
  /** Existing Secrets with the names of those to be written. */
  readonly secrets: readonly V1Secret[];
}

/** The requested Link. */
export interface WantedLink {
  readonly clusterName: string;
  readonly namespace: string;
  /** UID of the target's `default/kubernetes` Service. */
  readonly targetUid: string | undefined;
  readonly credentialsSecret: string;
  /** Whether the cluster's name may mean another cluster than before. */
  readonly rebuilt: boolean;
  /** Whether objects that neither Linkspan nor Linkerd wrote may be overwritten. */
  readonly force: boolean;
}

/** Why a source cluster cannot take a Link; undefined: it can. Pure. */
export function linkRefusal(source: SourceFacts, wanted: WantedLink): LinkspanError | undefined {
  for (const check of CHECKS) {
    const refusal = check(source, wanted);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

type Check = (source: SourceFacts, wanted: WantedLink) => LinkspanError | undefined;

const CHECKS: readonly Check[] = [
  ({ uid }, { targetUid, clusterName }) =>
    uid !== undefined && uid === targetUid
      ? new LinkspanError('LINK_TO_ITSELF', `"${clusterName}" is the source cluster itself`)
      : undefined,
  ({ links }) =>
    links === undefined
      ? new LinkspanError(
          'LINK_CRD_MISSING',
          `the source cluster has no CustomResourceDefinition of Links that serves ${linkResource.version}`,
        )
      : undefined,
  ({ namespaceExists }, { namespace }) =>
    namespaceExists
      ? undefined
      : new LinkspanError('NAMESPACE_MISSING', `the source cluster has no namespace ${namespace}`),
  otherCluster,
  rivalLink,
  foreignLink,
  foreignSecret,
];

function own({ links = [] }: SourceFacts, { clusterName }: WantedLink): LinkObject | undefined {
  return links.find(({ metadata }) => metadata?.name === clusterName);
}

/** Refuses a name that already stands for another cluster, whose mirrors would be taken for this one's. */
function otherCluster(source: SourceFacts, wanted: WantedLink): LinkspanError | undefined {
  const known = own(source, wanted)?.status?.targetClusterUID;
  if (wanted.rebuilt || known === undefined || wanted.targetUid === undefined) return undefined;
  if (known === wanted.targetUid) return undefined;
  return new LinkspanError(
    'CLUSTER_NAME_TAKEN',
    `the source cluster is linked to another cluster by the name "${wanted.clusterName}" (UID ${known}, not ${wanted.targetUid})`,
  );
}

function rivalLink({ links = [] }: SourceFacts, { clusterName }: WantedLink): LinkspanError | undefined {
  const rival = links.find(
    ({ metadata, spec }) => metadata?.name !== clusterName && spec?.targetClusterName === clusterName,
  );
  if (rival === undefined) return undefined;
  return new LinkspanError(
    'LINK_DUPLICATE',
    `the Link ${keyOf(rival)} names the cluster "${clusterName}" already`,
  );
}

function foreignLink(source: SourceFacts, wanted: WantedLink): LinkspanError | undefined {
  const link = own(source, wanted);
  if (link === undefined || wanted.force) return undefined;
  const { targetClusterName: cluster = '', clusterCredentialsSecret: secret = '' } = link.spec ?? {};
  if (cluster !== wanted.clusterName)
    return foreign(`the Link ${keyOf(link)} is for the cluster "${cluster}"`);
  if (secret !== wanted.credentialsSecret)
    return foreign(`the Link ${keyOf(link)} takes its credentials from the Secret "${secret}"`);
  if (readAnnotation(link.metadata?.annotations, CREATED_BY) !== undefined) return undefined;
  return foreign(`the Link ${keyOf(link)} was written by neither Linkspan nor Linkerd (no ${CREATED_BY})`);
}

/** Refuses an existing Secret of another type, since the type of a Secret cannot be changed. */
function foreignSecret({ secrets }: SourceFacts, wanted: WantedLink): LinkspanError | undefined {
  for (const secret of secrets) {
    if (!isCredentials(secret))
      return foreign(`the Secret ${keyOf(secret)} is of type "${secret.type ?? 'Opaque'}"`);
    const cluster = destinationClusterOf(secret);
    if (!wanted.force && cluster !== undefined && cluster !== wanted.clusterName)
      return foreign(`the Secret ${keyOf(secret)} is for the cluster "${cluster}"`);
  }
  return undefined;
}

function foreign(what: string): LinkspanError {
  return new LinkspanError('FOREIGN_OBJECT', what);
}

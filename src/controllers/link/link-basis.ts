import type { V1Secret } from '@kubernetes/client-node';
import { readAnnotation } from '../../api/annotations.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { credentialsText, tokenTtlText } from '../../api/credentials/credentials-secret.ts';
import { CREDENTIALS_SECRET_TYPE } from '../../api/names.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import { accessFromSecret } from '../../linking/credentials.ts';
import { importAnnotations } from '../../api/link/import-policy.ts';
import { LINK_ANNOTATIONS, parseLink, type Link, type LinkObject } from '../../api/link/link-schema.ts';

/** Everything on which a running Link depends; as long as it is the same, nothing is restarted. */
export interface Basis {
  readonly spec: unknown;
  /** The values of `LINK_ANNOTATIONS`. */
  readonly annotations: readonly (string | undefined)[];
  /** The annotations of the import policy, as they are written. */
  readonly imports: readonly (readonly [annotation: string, text: string])[];
  readonly kubeconfig: string | undefined;
  readonly tokenTtl: string | undefined;
  /** Another Link that has the same target (`olderRival`). */
  readonly rival: string | undefined;
}

/** The basis of a Link as it is now. */
export function basisOf(object: LinkObject, secret: V1Secret | undefined, rival: string | undefined): Basis {
  const annotations = object.metadata?.annotations;
  return {
    spec: object.spec,
    annotations: LINK_ANNOTATIONS.map((name) => readAnnotation(annotations, name)),
    imports: importAnnotations(annotations),
    kubeconfig: secret && credentialsText(secret),
    tokenTtl: secret && tokenTtlText(secret),
    rival,
  };
}

/**
 * Parses a Link and its credentials.
 * @throws LinkspanError LINK_INVALID, LINK_DUPLICATE, CREDENTIALS_MISSING or CREDENTIALS_INVALID, the first
 * that applies: the Link cannot run
 */
export function usableLink(
  object: LinkObject,
  secret: V1Secret | undefined,
  rival: string | undefined,
): { link: Link; access: ClusterAccess } {
  const verdict = parseLink(object);
  const where = `Link ${object.metadata?.namespace ?? ''}/${object.metadata?.name ?? ''}`;
  if (!verdict.ok) {
    const problems = verdict.problems.map(({ field, problem }) => `${field} ${problem}`).join('; ');
    throw new LinkspanError('LINK_INVALID', `${where}: ${problems}`);
  }
  if (rival !== undefined) {
    const cluster = verdict.link.targetClusterName;
    throw new LinkspanError(
      'LINK_DUPLICATE',
      `${where}: the older Link "${rival}" already names the cluster "${cluster}"`,
    );
  }
  if (secret === undefined) {
    const name = `${verdict.link.namespace}/${verdict.link.credentialsSecret}`;
    throw new LinkspanError(
      'CREDENTIALS_MISSING',
      `${where}: there is no Secret ${name} of type ${CREDENTIALS_SECRET_TYPE} that the controller may read; one of that name may be of another type, as other tools make them (Opaque)`,
    );
  }
  return { link: verdict.link, access: accessFromSecret(secret) };
}

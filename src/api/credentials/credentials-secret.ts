import type { V1Secret } from '@kubernetes/client-node';
import { formatDuration, parseDuration } from '../../base/duration.ts';
import { readAnnotation } from '../annotations.ts';
import type { ObjectRef } from '../kubernetes/resource.ts';
import {
  CREDENTIALS_SECRET_KEY,
  CREDENTIALS_SECRET_TYPE,
  DESTINATION_CLUSTER_DOMAIN,
  DESTINATION_CLUSTER_NAME_LABEL,
  DESTINATION_TRUST_DOMAIN,
  TOKEN_TTL,
} from '../names.ts';

/** The Secret with the credentials of a Link, and its copy for Linkerd: written and read here alone. */

/** Name of both Secrets, the controller's and the copy, unless a Link says another. */
export function credentialsName(clusterName: string): string {
  return `cluster-credentials-${clusterName}`;
}

/** Who uses a Secret with credentials. */
export type CredentialsReader =
  /** The mirror controller. @param tokenTtlMs life of tokens, which it renews then; undefined: never */
  | { readonly kind: 'controller'; readonly tokenTtlMs: number | undefined }
  /** Linkerd's destination controller, which asks the target for the endpoints of flat mirrors. */
  | {
      readonly kind: 'destination';
      readonly clusterName: string;
      readonly clusterDomain: string;
      readonly trustDomain: string;
    };

/** The Secret. @param kubeconfig YAML */
export function credentialsSecret(ref: ObjectRef, kubeconfig: string, reader: CredentialsReader): V1Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: CREDENTIALS_SECRET_TYPE,
    metadata: {
      name: ref.name,
      ...(ref.namespace === undefined ? {} : { namespace: ref.namespace }),
      ...marks(reader),
    },
    ...kubeconfigData(kubeconfig),
  };
}

function marks(reader: CredentialsReader): NonNullable<V1Secret['metadata']> {
  if (reader.kind === 'controller')
    return reader.tokenTtlMs === undefined
      ? {}
      : { annotations: { [TOKEN_TTL]: formatDuration(reader.tokenTtlMs) } };
  return {
    labels: { [DESTINATION_CLUSTER_NAME_LABEL]: reader.clusterName },
    annotations: {
      [DESTINATION_CLUSTER_DOMAIN]: reader.clusterDomain,
      [DESTINATION_TRUST_DOMAIN]: reader.trustDomain,
    },
  };
}

/** The part of a Secret that holds the kubeconfig, for a new Secret and for a merge patch. */
export function kubeconfigData(kubeconfig: string): Required<Pick<V1Secret, 'data'>> {
  return { data: { [CREDENTIALS_SECRET_KEY]: Buffer.from(kubeconfig).toString('base64') } };
}

/** Field selector of all credentials, for lists and watches. */
export const CREDENTIALS_SELECTOR = `type=${CREDENTIALS_SECRET_TYPE}`;

/** Whether a Secret holds credentials, by its type, which cannot be changed. */
export function isCredentials({ type }: V1Secret): boolean {
  return type === CREDENTIALS_SECRET_TYPE;
}

/** The kubeconfig in a Secret; undefined where there is none, or an empty one. */
export function kubeconfigIn({ data }: V1Secret): string | undefined {
  const encoded = data?.[CREDENTIALS_SECRET_KEY];
  return encoded === undefined || encoded === ''
    ? undefined
    : Buffer.from(encoded, 'base64').toString('utf8');
}

/** A text by which changed credentials are noticed: it is equal where type and kubeconfig are equal. */
export function credentialsText({ type, data }: V1Secret): string {
  return `${type ?? ''} ${data?.[CREDENTIALS_SECRET_KEY] ?? ''}`;
}

/** The life of tokens that a Secret asks for, as it is written; undefined where it asks for none. */
export function tokenTtlText({ metadata }: V1Secret): string | undefined {
  return readAnnotation(metadata?.annotations, TOKEN_TTL) || undefined;
}

/** The milliseconds of such a text; undefined where it is no duration. */
export function parseTokenTtl(text: string): number | undefined {
  return parseDuration(text);
}

/** The cluster that a copy for Linkerd's destination controller is for. */
export function destinationClusterOf({ metadata }: V1Secret): string | undefined {
  return metadata?.labels?.[DESTINATION_CLUSTER_NAME_LABEL];
}

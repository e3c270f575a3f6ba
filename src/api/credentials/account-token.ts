import type { V1Secret } from '@kubernetes/client-node';
import { readAnnotation } from '../annotations.ts';
import { ACCOUNT_NAME } from '../names.ts';

/** The Secret that the API server fills with a token of a ServiceAccount (Kubernetes' own form). */
const TOKEN_TYPE = 'kubernetes.io/service-account-token';

/** Field selector of such Secrets. */
export const ACCOUNT_TOKEN_SELECTOR = `type=${TOKEN_TYPE}`;

/** The Secret by which a token is asked for. */
export function accountTokenSecret(
  account: string,
  metadata: Omit<NonNullable<V1Secret['metadata']>, 'annotations'>,
): V1Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: TOKEN_TYPE,
    metadata: { ...metadata, annotations: { [ACCOUNT_NAME]: account } },
  };
}

/** The ServiceAccount whose token a Secret holds, or is to hold. */
export function accountOfToken({ metadata }: V1Secret): string | undefined {
  return readAnnotation(metadata?.annotations, ACCOUNT_NAME);
}

/** The token; undefined until the API server has filled it in. */
export function tokenIn({ data }: V1Secret): string | undefined {
  const encoded = data?.['token'];
  return encoded === undefined || encoded === ''
    ? undefined
    : Buffer.from(encoded, 'base64').toString('utf8');
}

import type { V1Secret } from '@kubernetes/client-node';
import { LinkspanError, messageOf } from '../base/errors.ts';
import { CREDENTIALS_SECRET_KEY, CREDENTIALS_SECRET_TYPE } from '../base/names.ts';
import { loadAccess, type ClusterAccess } from '../kube/access.ts';
import { keyOf } from '../kube/resource.ts';

/**
 * How to reach a target cluster, from the Secret that a Link names.
 * @throws LinkspanError CREDENTIALS_INVALID that names the Secret and what is wrong with it
 */
export function accessFromSecret(secret: V1Secret): ClusterAccess {
  const where = `Secret ${keyOf(secret)}`;
  if (secret.type !== CREDENTIALS_SECRET_TYPE) {
    throw new LinkspanError(
      'CREDENTIALS_INVALID',
      `${where} is of type "${secret.type ?? 'Opaque'}", not ${CREDENTIALS_SECRET_TYPE}`,
    );
  }
  const encoded = secret.data?.[CREDENTIALS_SECRET_KEY];
  if (encoded === undefined || encoded === '') {
    throw new LinkspanError(
      'CREDENTIALS_INVALID',
      `${where} has no data under the key "${CREDENTIALS_SECRET_KEY}"`,
    );
  }
  try {
    return loadAccess({ text: Buffer.from(encoded, 'base64').toString('utf8'), source: where });
  } catch (error) {
    const why = messageOf(error);
    throw new LinkspanError('CREDENTIALS_INVALID', why.startsWith(where) ? why : `${where}: ${why}`, {
      cause: error,
    });
  }
}

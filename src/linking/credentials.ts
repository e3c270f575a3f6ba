import { isCredentials, kubeconfigIn } from '../api/credentials/credentials-secret.ts';
import type { V1Secret } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import { yamlDocument } from '../base/yaml.ts';
import { LinkspanError, messageOf } from '../api/errors/linkspan-error.ts';
import { CREDENTIALS_SECRET_KEY, CREDENTIALS_SECRET_TYPE } from '../api/names.ts';
import { loadAccess, type ClusterAccess } from '../kube/client/access.ts';
import { keyOf } from '../api/kubernetes/resource.ts';

/** Hint for a Secret of another type, whose type cannot be changed. */
const TYPE_STAYS =
  'The type of a Secret cannot be changed: delete it, and make it anew with `linkspan link` (or `linkspan link-gen`).';

/**
 * How to reach a target cluster, from the Secret that a Link names.
 * @throws LinkspanError CREDENTIALS_INVALID that names the Secret and what is wrong with it
 */
export function accessFromSecret(secret: V1Secret): ClusterAccess {
  const where = `Secret ${keyOf(secret)}`;
  if (!isCredentials(secret)) {
    throw new LinkspanError(
      'CREDENTIALS_INVALID',
      `${where} is of type "${secret.type ?? 'Opaque'}", not ${CREDENTIALS_SECRET_TYPE}`,
      { hint: TYPE_STAYS },
    );
  }
  const text = kubeconfigIn(secret);
  if (text === undefined) {
    throw new LinkspanError(
      'CREDENTIALS_INVALID',
      `${where} has no data under the key "${CREDENTIALS_SECRET_KEY}"`,
    );
  }
  try {
    return loadAccess({ text, source: where });
  } catch (error) {
    const why = messageOf(error);
    throw new LinkspanError('CREDENTIALS_INVALID', why.startsWith(where) ? why : `${where}: ${why}`, {
      cause: error,
    });
  }
}

/**
 * Whether two accesses to a cluster differ in the token only, so that a client of the one can go on with the
 * token of the other.
 */
export function differsInToken(a: ClusterAccess, b: ClusterAccess): boolean {
  if (a.bearer === undefined || b.bearer === undefined) return false;
  const rest = (access: ClusterAccess) => ({ ...access, auth: undefined, bearer: undefined });
  return isDeepStrictEqual(rest(a), rest(b));
}

/**
 * The kubeconfig with another token for the user of its current context; everything else stays as it was
 * written.
 */
export function kubeconfigWithToken(kubeconfig: string, token: string): string {
  const { document } = yamlDocument(kubeconfig);
  const {
    'current-context': current,
    contexts = [],
    users = [],
  } = document.toJS() as {
    'current-context'?: string;
    contexts?: { name: string; context?: { user?: string } }[];
    users?: { name: string }[];
  };
  const user = contexts.find(({ name }) => name === current)?.context?.user;
  const index = users.findIndex(({ name }) => name === user);
  if (index < 0)
    throw new LinkspanError('CREDENTIALS_INVALID', 'the kubeconfig names no user to give a token to');
  document.setIn(['users', index, 'user', 'token'], token);
  return document.toString({ lineWidth: 0 });
}

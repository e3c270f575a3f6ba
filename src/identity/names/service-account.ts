const USERNAME = /^system:serviceaccount:([a-z0-9-]+):([a-z0-9.-]+)$/;

/** The service account behind a Kubernetes user name or a token's subject, `system:serviceaccount:<ns>:<name>`; undefined for anybody else. */
export function serviceAccountOf(
  username: string,
): { readonly namespace: string; readonly serviceAccount: string } | undefined {
  const match = USERNAME.exec(username);
  const [namespace, serviceAccount] = [match?.[1], match?.[2]];
  return namespace === undefined || serviceAccount === undefined ? undefined : { namespace, serviceAccount };
}

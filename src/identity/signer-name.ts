/** signerName of the CertificateSigningRequests that `linkspan signer` signs. */
export const SIGNER_NAME = 'linkspan.dev/workload';
/** ConfigMap in the signer's namespace that holds the signer's trust anchors, key `ca.crt`. */
export const TRUST_CONFIG_MAP = 'linkspan-trust';
/** What a workload's certificate is for: both ends of a connection. */
export const LEAF_USAGES = ['digital signature', 'server auth', 'client auth'] as const;

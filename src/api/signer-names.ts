/** signerName of the CertificateSigningRequests that `linkspan signer` signs. */
export const SIGNER_NAME = 'linkspan.dev/workload';
/** ConfigMap in the signer's namespace that holds the signer's trust anchors, key `ca.crt`. */
export const TRUST_CONFIG_MAP = 'linkspan-trust';
/** Key beside it: the trust domain whose identities the signer gives. */
export const TRUST_DOMAIN_KEY = 'trust-domain';
/** ConfigMap beside it with the trust anchors of other domains, a key `<domain>.crt` for each. */
export const ANCHORS_CONFIG_MAP = 'linkspan-anchors';
/** What a workload's certificate is for: both ends of a connection. */
export const LEAF_USAGES = ['digital signature', 'server auth', 'client auth'] as const;

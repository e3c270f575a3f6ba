import { type CatalogueEntry, entry } from './catalogue-entry.ts';

/** The error codes of certificates, identities and what issues them; a part of the catalogue. */
export const identityErrors = {
  FILE_EXISTS: entry(
    'A file that should be written is there already, with other content.',
    'Choose another --out, or give --force to replace it.',
  ),
  FILE_NOT_WRITTEN: entry(
    'A file could not be written.',
    'Check that the directory may be written to and has room.',
  ),
  IDENTITY_AMBIGUOUS: entry(
    'A file holds more than one certificate authority with its key.',
    'Say --as anchor or --as issuer where there is one of each; else export the one that is meant alone.',
  ),
  IDENTITY_CONTAINER_INVALID: entry(
    'A file that should hold a protected key (PKCS#12, encrypted PEM) is none, is damaged, or is larger than 1 MiB.',
    'Export it anew as .p12 or .pfx, or as PEM for --cert and --key.',
  ),
  IDENTITY_CONTAINER_UNSUPPORTED: entry(
    'A file is protected in a way that is not read, or that would take longer than anybody waits.',
    'Protect it anew with AES-256 and SHA-256 and at most 600,000 rounds, which is what `openssl pkcs12 -export` of OpenSSL 3 does.',
  ),
  IDENTITY_EXPIRED: entry(
    'A certificate of the identity, its chain or its issuer has expired.',
    'Renew the named certificate; a new file is picked up without a restart.',
  ),
  IDENTITY_INVALID: entry(
    'A certificate or key does not parse, is of a kind the mesh cannot use, or carries no name.',
    'Replace the named file: PEM, ECDSA P-256 (an authority: or RSA of 2048 bits), a leaf with a DNS or URI SAN.',
  ),
  IDENTITY_KEY_MISMATCH: entry(
    'A private key does not belong to the certificate beside it.',
    'Put the key and the certificate of one pair in place.',
  ),
  IDENTITY_MISSING: entry(
    'A file of the identity is not there or cannot be read.',
    'Put the named file in place; it is picked up without a restart.',
  ),
  IDENTITY_NAME_MISMATCH: entry(
    'A certificate that was asked for carries another name than the one asked for.',
    'Check --control-namespace and --trust-domain on both sides, and who answers for the issuer.',
  ),
  IDENTITY_NOT_YET_VALID: entry(
    'A certificate of the identity, its chain or its issuer is not valid yet.',
    'Check the clock of this machine and of the one that issued the certificate.',
  ),
  IDENTITY_PASSWORD_MISSING: entry(
    'A key is protected by a password, and none was given.',
    'Give it with --password-file (`-` is stdin) or in LINKSPAN_IMPORT_PASSWORD, or type it at a terminal.',
  ),
  IDENTITY_PASSWORD_WRONG: entry(
    'A password does not open the key that it was given for.',
    'Give the right one. A file ends with its last character: a second line or a space at the end counts.',
  ),
  IDENTITY_REQUEST_DENIED: entry(
    'The signer refused a CertificateSigningRequest; the message is its own.',
    'Run as the service account whose identity is asked for; `kubectl describe csr` shows the request while it exists.',
  ),
  IDENTITY_REQUEST_UNANSWERED: entry(
    'Nobody signed a CertificateSigningRequest in time, or somebody deleted it.',
    'Run `linkspan signer --issuer-dir` in this cluster and read its log; it is tried again.',
  ),
  IDENTITY_SERVICE_GARBLED: entry(
    'What answered for the identity service does not speak its protocol.',
    'Check --identity-service and what stands in between; it is tried again.',
  ),
  IDENTITY_SERVICE_REFUSED: entry(
    'The identity service refused to certify; the message is its own.',
    "Check that --identity-token-file is a projected token of audience identity.l5d.io, and that --identity-name is this service account's.",
  ),
  IDENTITY_SERVICE_UNREACHABLE: entry(
    'The identity service cannot be reached, does not answer in time, or does not prove that it is the one meant.',
    'Check --identity-service, --identity-service-name and the trust anchors; it is tried again.',
  ),
  IDENTITY_UNTRUSTED: entry(
    'The certificate does not lead to any trust anchor of the bundle beside it, or an authority on the way may not give its name (name constraints).',
    'Put the intermediates behind the leaf in tls.crt, and the anchor it was issued under in ca.crt; `linkspan identity show` says whom an authority may name.',
  ),
} as const satisfies Record<string, CatalogueEntry>;

import type { Identity } from '../sources/identity.ts';
import { parseCertificates } from '../x509/certificate.ts';

/** A trust anchor, and until when it is good. */
export interface AnchorExpiry {
  /** SHA-256 of the certificate, in lower case and without colons. */
  readonly fingerprint: string;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

/** Parsing some dozens takes milliseconds. */
const known = new WeakMap<Identity, readonly AnchorExpiry[]>();

/** All trust anchors of an identity, each once. */
export function anchorExpiries(identity: Identity): readonly AnchorExpiry[] {
  let found = known.get(identity);
  if (found === undefined) known.set(identity, (found = read(identity)));
  return found;
}

/** When the first of its trust anchors expires, milliseconds since the epoch; undefined: it has none. */
export function anchorsNotAfter(identity: Identity): number | undefined {
  const times = anchorExpiries(identity).map(({ notAfter }) => notAfter);
  return times.length === 0 ? undefined : Math.min(...times);
}

/** They parse: an identity's anchors have been verified with it. */
function read({ ca }: Identity): AnchorExpiry[] {
  if (ca.trim() === '') return [];
  const found = new Map<string, AnchorExpiry>();
  for (const { x509, notAfter } of parseCertificates(ca, 'trust anchors')) {
    const fingerprint = x509.fingerprint256.replaceAll(':', '').toLowerCase();
    found.set(fingerprint, { fingerprint, notAfter });
  }
  return [...found.values()];
}

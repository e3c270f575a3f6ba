import { type Certificate, isoTime, nameOnOneLine, parseCertificates } from './certificate.ts';
import { nameConstraintsOf, type Subtrees } from './name-constraints.ts';
import { peerIdentities } from './peer-certificate.ts';

const DAY_MS = 86_400_000;

/**
 * The certificates in a PEM file for people: subject, identity, validity and the like, one block of
 * `label: value` lines each.
 * @throws LinkspanError IDENTITY_INVALID
 */
export function describeCertificates(text: string, where: string, now: number): string {
  const certificates = parseCertificates(text, where);
  return certificates
    .map((certificate, index) => {
      const title = `${where}: certificate ${index + 1} of ${certificates.length}`;
      const lines = facts(certificate, now).map(([label, value]) => `  ${label.padEnd(11)} ${value}`);
      return [title, ...lines].join('\n');
    })
    .join('\n');
}

function facts(certificate: Certificate, now: number): [string, string][] {
  const { x509, notBefore, notAfter } = certificate;
  const names = peerIdentities(x509.raw);
  return [
    ['subject', x509.subject === undefined || x509.subject === '' ? '-' : nameOnOneLine(x509.subject)],
    ['identity', names[0] ?? '-'],
    ...names.slice(1).map((name): [string, string] => ['also', name]),
    ['issuer', x509.checkIssued(x509) ? 'itself' : nameOnOneLine(x509.issuer)],
    ['use', x509.ca ? 'certificate authority' : 'leaf'],
    ...constraintLines(certificate),
    ['key', keyName(certificate)],
    ['valid from', isoTime(notBefore)],
    ['valid to', `${isoTime(notAfter)} (${remaining(notBefore, notAfter, now)})`],
  ];
}

function constraintLines({ x509 }: Certificate): [string, string][] {
  const constraints = nameConstraintsOf(x509.raw);
  if (constraints === undefined) return x509.ca ? [['may name', 'everybody (no name constraints)']] : [];
  const { permitted, excluded } = constraints;
  const roots = ({ dns, uri }: Subtrees) => [...dns, ...uri.map((host) => `spiffe://${host || '*'}`)];
  const allowed = roots(permitted);
  const forbidden = roots(excluded).map((root) => root || 'everybody');
  return [
    ['may name', allowed.length === 0 ? 'everybody' : allowed.join(', ')],
    ...forbidden.map((root): [string, string] => ['but not', root]),
  ];
}

function keyName(certificate: Certificate): string {
  const { publicKey } = certificate.x509;
  const details = publicKey.asymmetricKeyDetails;
  const size =
    details?.namedCurve ?? (details?.modulusLength === undefined ? '' : `${details.modulusLength} bits`);
  return `${publicKey.asymmetricKeyType ?? 'unknown'} ${size}`.trim();
}

function remaining(notBefore: number, notAfter: number, now: number): string {
  if (now < notBefore) return 'not valid yet';
  if (now > notAfter) return `expired ${((now - notAfter) / DAY_MS).toFixed(1)} days ago`;
  return `${((notAfter - now) / DAY_MS).toFixed(1)} days left`;
}

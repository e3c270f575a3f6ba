import { encodeElement, type DerElement, readElement, readElements, TAG_SEQUENCE } from './der.ts';
import { extensionValue, latin1, TAG_DNS_NAME, TAG_URI } from './extensions.ts';
import { hostOf } from '../names/trust-domain.ts';

/** The OID 2.5.29.30, nameConstraints. */
export const NAME_CONSTRAINTS_OID = '2.5.29.30';
const NAME_CONSTRAINTS = [0x55, 0x1d, 0x1e];
/** `permittedSubtrees [0]` and `excludedSubtrees [1]`, RFC 5280 section 4.2.1.10. */
const TAG_PERMITTED = 0xa0;
const TAG_EXCLUDED = 0xa1;

/** Which names a certificate authority may certify, for the kinds of names that identities have. */
export interface NameConstraints {
  readonly permitted: Subtrees;
  readonly excluded: Subtrees;
}

/** Roots of subtrees; a kind that does not occur is not constrained. */
export interface Subtrees {
  readonly dns: readonly string[];
  /** Hosts of URIs; with a leading dot, the hosts below that domain. */
  readonly uri: readonly string[];
}

const NOTHING: Subtrees = { dns: [], uri: [] };
/** Used for an extension that cannot be parsed: it permits no name. */
const UNREADABLE: NameConstraints = {
  permitted: NOTHING,
  excluded: { dns: [''], uri: [''] },
};

/**
 * The constraints in a certificate (DER); undefined where it has none. Those that do not parse forbid
 * everything. Kinds of names that are no identities (addresses, directory names) are ignored here; chain
 * verification handles them.
 */
export function nameConstraintsOf(der: Uint8Array): NameConstraints | undefined {
  const value = extensionValue(der, NAME_CONSTRAINTS);
  if (value === undefined) return undefined;
  const parts = value === 'malformed' ? undefined : readElements(der, value.start, value.end);
  if (parts === undefined) return UNREADABLE;
  const subtrees = (tag: number) => parts.filter((part) => part.tag === tag).map((part) => read(der, part));
  const [permitted = NOTHING, twice] = subtrees(TAG_PERMITTED);
  const [excluded = NOTHING, again] = subtrees(TAG_EXCLUDED);
  const bad = permitted === 'malformed' || excluded === 'malformed';
  return bad || twice !== undefined || again !== undefined ? UNREADABLE : { permitted, excluded };
}

function read(der: Uint8Array, list: DerElement): Subtrees | 'malformed' {
  const subtrees = readElements(der, list.start, list.end);
  if (subtrees === undefined) return 'malformed';
  const dns: string[] = [];
  const uri: string[] = [];
  for (const { tag, start, end } of subtrees) {
    const base = tag === TAG_SEQUENCE ? readElement(der, start, end) : undefined;
    // RFC 5280 uses minimum and maximum with no kind of name.
    if (base?.end !== end) return 'malformed';
    const text = latin1(der, base).toLowerCase();
    if (base.tag === TAG_DNS_NAME) dns.push(text);
    else if (base.tag === TAG_URI) uri.push(text);
  }
  return { dns, uri };
}

/**
 * Whether an authority with these constraints may certify this name (DNS-like or a URI), as RFC 5280 section
 * 4.2.1.10 has it and OpenSSL does it. Pure.
 */
export function permits({ permitted, excluded }: NameConstraints, name: string): boolean {
  const host = hostOf(name);
  const inside = (roots: Subtrees) =>
    host === undefined
      ? roots.dns.some((root) => isBelow(name.toLowerCase(), root))
      : roots.uri.some((root) => isHost(host, root));
  if (inside(excluded)) return false;
  const roots = host === undefined ? permitted.dns : permitted.uri;
  return roots.length === 0 || inside(permitted);
}

/** A DNS constraint holds for the name itself and for what is below it; an empty one for all. */
function isBelow(name: string, root: string): boolean {
  if (root === '' || name === root) return true;
  return name.endsWith(root.startsWith('.') ? root : `.${root}`);
}

/** A URI's constraint is a host, or with a dot in front what is below it. */
function isHost(host: string, root: string): boolean {
  return root === '' || (root.startsWith('.') ? host.endsWith(root) : host === root);
}

/**
 * The value of the extension for an authority of one trust domain: DNS names of the domain and below, and
 * URIs (`spiffe://…`) whose host is that. Both kinds are needed: a kind without a constraint is not
 * restricted. The extension must be marked critical (RFC 5280): OpenSSL, Go and rustls know it, and a
 * verifier that does not must refuse such an issuer.
 */
export function encodeNameConstraints(domain: string): Buffer {
  const subtree = (tag: number, text: string) =>
    encodeElement(TAG_SEQUENCE, encodeElement(tag, Buffer.from(text, 'latin1')));
  return encodeElement(
    TAG_SEQUENCE,
    encodeElement(
      TAG_PERMITTED,
      subtree(TAG_DNS_NAME, domain),
      subtree(TAG_URI, domain),
      subtree(TAG_URI, `.${domain}`),
    ),
  );
}

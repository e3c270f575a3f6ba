import { IDENTITY_MARK } from '../../api/linkerd/identity-form.ts';

/** The part of an identity that follows account and namespace. */
export interface MeshName {
  readonly controlNamespace: string;
  readonly trustDomain: string;
}

/**
 * Reads an identity of Linkerd's form, `<account>.<namespace>.serviceaccount.identity.<control
 * namespace>.<trust domain>`; undefined for any other name.
 */
export function meshNameOf(identity: string): MeshName | undefined {
  const end = identity.length;
  // The last marker that has both behind it.
  for (let at = end; (at = identity.lastIndexOf(IDENTITY_MARK, at - 1)) > 0; ) {
    const from = at + IDENTITY_MARK.length;
    const dot = identity.indexOf('.', from);
    if (identity.includes('/', from)) return undefined;
    if (dot > from && dot + 1 < end)
      return {
        controlNamespace: identity.slice(from, dot),
        trustDomain: identity.slice(dot + 1).toLowerCase(),
      };
  }
  return undefined;
}

/** The host of a URI, in lower case, without port and user; undefined for what is no URI. */
export function hostOf(name: string): string | undefined {
  const scheme = name.indexOf('://');
  if (scheme < 0) return undefined;
  const rest = name.slice(scheme + 3);
  const authority = rest.slice(0, endOf(rest, '/', '?', '#'));
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  return host.slice(0, endOf(host, ':')).toLowerCase();
}

function endOf(text: string, ...marks: readonly string[]): number {
  return marks.reduce((end, mark) => {
    const at = text.indexOf(mark);
    return at >= 0 && at < end ? at : end;
  }, text.length);
}

/**
 * The trust domain of an identity: the end of a name in Linkerd's form, or the host of a URI (SPIFFE);
 * undefined for any other name. Pure.
 */
export function trustDomainOf(identity: string): string | undefined {
  const host = hostOf(identity);
  return host === undefined ? meshNameOf(identity)?.trustDomain : host || undefined;
}

/**
 * Whether an identity belongs to a trust domain: by its Linkerd form or SPIFFE ID, or as any other DNS name
 * below the domain. Pure.
 */
export function isOfTrustDomain(identity: string, domain: string): boolean {
  const wanted = domain.toLowerCase();
  if (/^spiffe:\/\//i.test(identity)) return hostOf(identity) === wanted;
  if (identity.includes('://')) return false;
  const said = meshNameOf(identity)?.trustDomain;
  return said === undefined ? identity.toLowerCase().endsWith(`.${wanted}`) : said === wanted;
}

/**
 * Whether an identity belongs to a domain or to one below it, so that an anchor bound to the domain may vouch
 * for it. Pure.
 */
export function isBelowDomain(identity: string, domain: string): boolean {
  const at = trustDomainOf(identity) ?? identity.toLowerCase();
  const wanted = domain.toLowerCase();
  return at === wanted || at.endsWith(`.${wanted}`);
}

/**
 * The trust domains whose identities a gateway admits: its own, by its identity, and those that were named.
 * Undefined = every identity that the trust anchors vouch for, where the gateway's identity has no trust
 * domain and none was named. Pure.
 * @param own the gateway's identity
 */
export function trustDomains(own: string, named: readonly string[]): readonly string[] | undefined {
  const domain = trustDomainOf(own);
  const all = domain === undefined ? named : [domain, ...named];
  return all.length === 0 ? undefined : all;
}

/** `trustDomains` of one gateway: its identity changes seldom, and it is asked for each connection. */
export function trustDomainsOfGateway(
  named: readonly string[],
): (own: string) => readonly string[] | undefined {
  let last: { readonly own: string; readonly domains: readonly string[] | undefined } | undefined;
  return (own) => {
    if (last?.own !== own) last = { own, domains: trustDomains(own, named) };
    return last.domains;
  };
}

/**
 * The trust domain of a cluster: the shared one, or `<cluster>.<shared>` where the cluster is named. The
 * chart does the same (`linkspan.trustDomain`).
 * @param shared the domain of clusters that have no name of their own
 */
export function clusterTrustDomain(shared: string, cluster: string | undefined): string {
  return cluster === undefined || cluster === '' ? shared : `${cluster}.${shared}`;
}

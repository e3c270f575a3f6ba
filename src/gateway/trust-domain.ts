/** What stands in an identity behind the workload's own part. */
export interface MeshName {
  readonly controlNamespace: string;
  readonly trustDomain: string;
}

const MARKER = '.serviceaccount.identity.';

/** Reads an identity of Linkerd's form, `<account>.<namespace>.serviceaccount.identity.<control namespace>.<trust domain>`; undefined for any other name. */
export function meshNameOf(identity: string): MeshName | undefined {
  const end = identity.length;
  // The last marker that has both behind it.
  for (let at = end; (at = identity.lastIndexOf(MARKER, at - 1)) > 0; ) {
    const from = at + MARKER.length;
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

/** Whether an identity is of a trust domain: it says so in Linkerd's form or as SPIFFE ID, or is another name below it. Pure. */
export function isOfTrustDomain(identity: string, domain: string): boolean {
  const wanted = domain.toLowerCase();
  const spiffe = /^spiffe:\/\/([^/]*)/i.exec(identity);
  if (spiffe !== null) return spiffe[1]?.toLowerCase() === wanted;
  if (identity.includes('://')) return false;
  const said = meshNameOf(identity)?.trustDomain;
  return said === undefined ? identity.toLowerCase().endsWith(`.${wanted}`) : said === wanted;
}

/**
 * The trust domains whose identities may come in: the gateway's own, by its name, and those that were named. Undefined = whoever the trust anchors vouch for, which is so where the gateway's name says no domain and none was named. Pure.
 * @param own the gateway's identity
 */
export function trustDomains(own: string, named: readonly string[]): readonly string[] | undefined {
  const domain = meshNameOf(own)?.trustDomain ?? /^spiffe:\/\/([^/]+)/i.exec(own)?.[1];
  const all = domain === undefined ? named : [domain, ...named];
  return all.length === 0 ? undefined : all;
}

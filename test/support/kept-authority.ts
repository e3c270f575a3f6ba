/**
 * One certificate authority for all gateways that tests start in this process, and its leaves by name: to
 * make an anchor, an issuer and leaves for each gateway took longer than many a test. A test that is about
 * certificates (another authority, a rotation, an expiry) makes its own.
 */
import type { Identity } from '../../src/identity/sources/identity.ts';
import { type Authority, createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';

export class KeptAuthority {
  readonly #make: () => Promise<Authority>;
  #authority: Promise<Authority> | undefined;
  readonly #leaves = new Map<string, Promise<Identity>>();

  /** @param make default: an issuer under an anchor of its own */
  constructor(make: () => Promise<Authority> = async () => createIssuer(await createAnchor({}), {})) {
    this.#make = make;
  }

  get authority(): Promise<Authority> {
    return (this.#authority ??= this.#make());
  }

  /** The leaf of a name, made when it is first asked for. */
  leaf(identity: string): Promise<Identity> {
    const kept = this.#leaves.get(identity);
    if (kept !== undefined) return kept;
    const made = this.authority.then((authority) => issueLeaf(authority, { identity }));
    this.#leaves.set(identity, made);
    return made;
  }
}

/** The one of `issuedGateway` and who talks to it. */
export const keptAuthority = new KeptAuthority();

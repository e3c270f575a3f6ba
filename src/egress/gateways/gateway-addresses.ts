import { neverRemote } from '../../base/ip-ranges.ts';
import { forEachIsolated } from '../../base/isolation.ts';
import { type AddressRefusal, HostAddresses } from '../../dns/host-addresses.ts';
import type { HostNames } from '../../dns/host-names.ts';

/**
 * Refuses addresses that no other cluster can have (loopback, link-local, a cloud's metadata service, …)
 * where a host name resolves to them: the Link's author has written the name only, and somebody else may
 * control its DNS. The source's own ranges, which the controller refuses too, are left to mTLS: no endpoint
 * there can prove the gateway's identity.
 */
const REFUSAL: AddressRefusal = (address, host) => (address === host ? undefined : neverRemote(address));
const WHAT = 'addresses of gateways';

/** Who uses the addresses of a gateway. */
export interface AddressUser {
  /** They are these now. @param refused those that are not used, each with why */
  addressesChanged(current: readonly string[], refused: readonly string[]): void;
}

/** A gateway, and who uses its addresses. */
interface Followed {
  readonly hosts: HostAddresses;
  readonly users: Set<AddressUser>;
}

/**
 * The addresses of gateways, found out once for all routes to a gateway: each cluster of each Service has
 * one.
 */
export class GatewayAddresses {
  readonly #names: HostNames;
  /** By the addresses and names that a Link gives. */
  readonly #followed = new Map<string, Followed>();

  constructor(names: HostNames) {
    this.#names = names;
  }

  /**
   * Begins to resolve the host names of a gateway. The user is told of addresses that are known before this
   * returns.
   */
  follow(given: readonly string[], user: AddressUser): void {
    const key = keyOf(given);
    const known = this.#followed.get(key);
    const followed = known ?? this.#begin(given);
    followed.users.add(user);
    if (known === undefined) {
      this.#followed.set(key, followed);
      followed.hosts.start();
    } else {
      user.addressesChanged(known.hosts.current, known.hosts.refused);
    }
  }

  /** Ends `follow`: the user is told of nothing more. */
  leave(given: readonly string[], user: AddressUser): void {
    const key = keyOf(given);
    const followed = this.#followed.get(key);
    if (followed?.users.delete(user) !== true || followed.users.size > 0) return;
    followed.hosts.stop();
    this.#followed.delete(key);
  }

  #begin(given: readonly string[]): Followed {
    const users = new Set<AddressUser>();
    const hosts: HostAddresses = new HostAddresses({
      hosts: given,
      names: this.#names,
      refusal: REFUSAL,
      onChange: () => {
        const { current, refused } = hosts;
        forEachIsolated(WHAT, users, (user) => user.addressesChanged(current, refused));
      },
    });
    return { hosts, users };
  }
}

function keyOf(given: readonly string[]): string {
  return given.join(' ');
}

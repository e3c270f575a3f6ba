import { plainName } from '../base/dns-name.ts';
import { addressBytes } from '../base/ip-ranges.ts';

/**
 * The addresses that a hosts file (hosts(5)) gives a name, in the file's order; empty: none. Case and a final
 * dot do not matter.
 */
export function addressesInHosts(text: string, name: string): readonly string[] {
  const wanted = plainName(name);
  const found: string[] = [];
  for (const line of text.split('\n')) {
    const comment = line.indexOf('#');
    const [address = '', ...names] = (comment < 0 ? line : line.slice(0, comment)).trim().split(/\s+/);
    if (names.some((one) => plainName(one) === wanted) && addressBytes(address) !== undefined)
      found.push(address);
  }
  return found;
}

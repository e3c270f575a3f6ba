import { eachAlone } from '../../base/isolation.ts';
import { type GatewayPlace, Trunk, type TrunkOptions } from './gateway-pool.ts';

/** The ways to gateway addresses, each shared by all routes that lead there, whatever service they are for. */
export class Trunks {
  readonly #options: TrunkOptions;
  readonly #trunks = new Map<string, { readonly trunk: Trunk; users: number }>();

  constructor(options: TrunkOptions) {
    this.#options = options;
  }

  /** The way to an address; to be released when it is no longer needed. */
  acquire(place: GatewayPlace): Trunk {
    const key = keyOf(place);
    let entry = this.#trunks.get(key);
    if (entry === undefined) {
      entry = { trunk: new Trunk(place, this.#options), users: 0 };
      this.#trunks.set(key, entry);
    }
    entry.users++;
    return entry.trunk;
  }

  release({ place }: Trunk): void {
    const key = keyOf(place);
    const entry = this.#trunks.get(key);
    if (entry === undefined || --entry.users > 0) return;
    this.#trunks.delete(key);
    entry.trunk.close();
  }

  /** Ends everything. */
  destroy(): void {
    eachAlone('trunks', this.#trunks.values(), ({ trunk }) => trunk.destroy());
    this.#trunks.clear();
  }
}

function keyOf({ host, port, identity }: GatewayPlace): string {
  return `${host} ${port} ${identity}`;
}

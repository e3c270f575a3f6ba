/** Most attempts at a time. */
const MAX_LOOKS = 4;

/**
 * Handshakes that find out which mode a gateway supports. The first few flows each make one; the rest of a
 * burst waits for the first that succeeds. With a handshake for each of a thousand flows all would time out,
 * and with only one it could meet a replica that refuses, since one address may be several gateways.
 */
export class FirstThrough {
  readonly #looks = new Set<Promise<void>>();
  readonly #connect: () => Promise<void>;

  /** @param connect one attempt */
  constructor(connect: () => Promise<void>) {
    this.#connect = connect;
  }

  /** @throws what the attempt has thrown; of several the first, where none succeeds */
  async look(): Promise<void> {
    if (this.#looks.size >= MAX_LOOKS) return this.#any();
    const look = this.#connect().finally(() => this.#looks.delete(look));
    this.#looks.add(look);
    return look;
  }

  async #any(): Promise<void> {
    try {
      await Promise.any(this.#looks);
    } catch (error) {
      throw error instanceof AggregateError ? error.errors[0] : error;
    }
  }
}

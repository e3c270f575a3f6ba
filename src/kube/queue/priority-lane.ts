interface Node {
  readonly key: string;
  older: Node | undefined;
  newer: Node | undefined;
}

/**
 * The waiting keys of one priority. A doubly linked list, so that every operation is O(1), also removing a
 * key from the middle.
 */
export class PriorityLane {
  readonly #nodes = new Map<string, Node>();
  #oldest: Node | undefined;
  #newest: Node | undefined;
  #newestNext = false;

  get size(): number {
    return this.#nodes.size;
  }

  /** Adds a key that is not there yet, as the newest. */
  add(key: string): void {
    const node: Node = { key, older: this.#newest, newer: undefined };
    if (this.#newest === undefined) this.#oldest = node;
    else this.#newest.newer = node;
    this.#newest = node;
    this.#nodes.set(key, node);
  }

  delete(key: string): void {
    const node = this.#nodes.get(key);
    if (node === undefined) return;
    this.#nodes.delete(key);
    if (node.older === undefined) this.#oldest = node.newer;
    else node.older.newer = node.newer;
    if (node.newer === undefined) this.#newest = node.older;
    else node.newer.older = node.older;
  }

  /** Adds a key that is not there yet as the oldest. */
  addFirst(key: string): void {
    const node: Node = { key, older: undefined, newer: this.#oldest };
    if (this.#oldest === undefined) this.#newest = node;
    else this.#oldest.older = node;
    this.#oldest = node;
    this.#nodes.set(key, node);
  }

  /**
   * Takes the oldest key, next time the newest, and so on: a single change is served soon although 5,000
   * others wait, while the oldest still advance and none waits for ever.
   */
  take(): string | undefined {
    const node = this.#newestNext ? this.#newest : this.#oldest;
    if (node === undefined) return undefined;
    this.#newestNext = !this.#newestNext;
    this.delete(node.key);
    return node.key;
  }
}

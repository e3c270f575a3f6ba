import type { ImportQuotas } from '../../api/link/import-policy.ts';

/** How much of a Link's quotas one mirror or membership takes. */
export interface ImportNeed {
  /** Services here: the mirror, and the endpoint mirrors of a headless one. */
  readonly mirrors: number;
  readonly egressPorts: number;
  /** Bytes of copied labels and annotations. */
  readonly metadataBytes: number;
}

/** The answer to a request for room in the quotas. */
export interface ImportAdmission {
  /** The quota that has no room for it; undefined: there is room. */
  readonly exceeded: 'mirrors' | 'egress-ports' | undefined;
  /** Whether its copied labels and annotations fit. Where they do not, the mirror is made without them. */
  readonly metadata: boolean;
}

/**
 * How much of its quotas one Link's mirrors and memberships take. First come, first served: an import that
 * has room keeps it, however many exports come later. What exists here when the process starts is entered
 * first, the oldest before the others (`LinkImports.seed`).
 */
export class ImportLedger {
  readonly #quotas: ImportQuotas;
  readonly #held = new Map<string, ImportNeed>();
  readonly #namespaces = new Set<string>();
  #mirrors = 0;
  #egressPorts = 0;
  #metadataBytes = 0;

  constructor(quotas: ImportQuotas) {
    this.#quotas = quotas;
  }

  /** What is taken now. */
  get taken(): ImportNeed {
    return { mirrors: this.#mirrors, egressPorts: this.#egressPorts, metadataBytes: this.#metadataBytes };
  }

  /** Asks for room, and takes it where there is some; what the key held before is given back first. */
  admit(key: string, need: ImportNeed): ImportAdmission {
    this.release(key);
    const admission = this.#room(need);
    const taken = admission.metadata ? need : { ...need, metadataBytes: 0 };
    if (admission.exceeded === undefined) this.#take(key, taken);
    return admission;
  }

  #room(need: ImportNeed): ImportAdmission {
    const { mirrors, egressPorts, metadataBytes } = this.#quotas;
    const exceeded =
      this.#mirrors + need.mirrors > mirrors
        ? 'mirrors'
        : need.egressPorts > 0 && this.#egressPorts + need.egressPorts > egressPorts
          ? 'egress-ports'
          : undefined;
    if (exceeded !== undefined) return { exceeded, metadata: false };
    return { exceeded: undefined, metadata: this.#metadataBytes + need.metadataBytes <= metadataBytes };
  }

  /** Gives back what a key held. */
  release(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    this.#add(held, -1);
  }

  /**
   * Whether one more namespace may be made. One that was admitted stays admitted.
   * @param made gives the namespaces that exist and were made for this Link
   */
  admitNamespace(name: string, made: () => readonly string[]): boolean {
    if (this.#namespaces.has(name)) return true;
    if (this.#namespaces.size >= this.#quotas.namespaces) return false;
    const all = new Set([...made(), ...this.#namespaces, name]);
    if (all.size > this.#quotas.namespaces) return false;
    this.#namespaces.add(name);
    return true;
  }

  /** A quota in words, for messages about imports that found no room. */
  text(exceeded: 'mirrors' | 'egress-ports'): string {
    return exceeded === 'mirrors'
      ? `mirrors=${this.#quotas.mirrors}`
      : `egress-ports=${this.#quotas.egressPorts}`;
  }

  #take(key: string, need: ImportNeed): void {
    this.#held.set(key, need);
    this.#add(need, 1);
  }

  #add(need: ImportNeed, sign: 1 | -1): void {
    this.#mirrors += sign * need.mirrors;
    this.#egressPorts += sign * need.egressPorts;
    this.#metadataBytes += sign * need.metadataBytes;
  }
}

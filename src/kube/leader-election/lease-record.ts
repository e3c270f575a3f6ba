import type { V1Lease, V1LeaseSpec } from '@kubernetes/client-node';
import type { Clock } from '../../base/clock.ts';
import type { ObjectRef } from '../../api/kubernetes/resource.ts';
import { compareVersions } from '../objects/resource-version.ts';

/**
 * What one replica knows about a Lease, what follows from that, and what it would write. Sends no requests.
 */
export class LeaseRecord {
  readonly #options: { readonly identity: string; readonly clock: Clock; readonly durationMs: number };
  #lease: V1Lease | undefined;
  /** What the Lease said when it was last seen to change, and when that was (monotonic). */
  #observed: { readonly text: string; readonly spec: V1LeaseSpec; readonly at: number } | undefined;
  #mine = false;

  constructor(options: { readonly identity: string; readonly clock: Clock; readonly durationMs: number }) {
    this.#options = options;
  }

  /** The object as last seen; undefined when there is none. */
  get lease(): V1Lease | undefined {
    return this.#lease;
  }

  /** Whether this replica was the last holder, also where it has given the Lease back or let it run out. */
  get mine(): boolean {
    return this.#mine;
  }

  /** Whether the Lease names another holder, whose time may be over. */
  get heldByOther(): boolean {
    const holder = this.#lease?.spec?.holderIdentity ?? '';
    return holder !== '' && holder !== this.#options.identity;
  }

  /**
   * Milliseconds until the Lease may be taken; 0 or less when it is free. One that was deleted while somebody
   * held it counts as held until it would have run out: its holder may not know yet.
   */
  get freeInMs(): number {
    if (this.#observed === undefined) return 0;
    const { spec, at } = this.#observed;
    const holder = spec.holderIdentity ?? '';
    if (holder === '' || holder === this.#options.identity) return 0;
    return at + (spec.leaseDurationSeconds ?? 30) * 1000 - this.#options.clock.monotonic();
  }

  /**
   * Whether an object is older than what is known: a watch brings our own writes after their answers.
   * resourceVersions are decimal numbers that grow (KEP-5504).
   */
  isOld({ metadata }: V1Lease): boolean {
    const known = this.#lease?.metadata;
    if (known === undefined || metadata === undefined) return false;
    return compareVersions(metadata.resourceVersion ?? '', known.resourceVersion ?? '') < 0;
  }

  /** Takes in what the Lease says; undefined when there is none. */
  saw(lease: V1Lease | undefined): void {
    this.#lease = lease;
    if (lease === undefined) return;
    const spec = lease.spec ?? {};
    const text = JSON.stringify(spec);
    if (text !== this.#observed?.text) this.#observed = { text, spec, at: this.#options.clock.monotonic() };
    if (this.heldByOther) this.#mine = false;
    else if (spec.holderIdentity === this.#options.identity) this.#mine = true;
  }

  /** The Lease as this replica writes it in order to take or renew it. */
  held({ namespace, name }: ObjectRef): V1Lease {
    const { identity, clock, durationMs } = this.#options;
    const previous = this.#lease?.spec;
    const now = microTime(clock.now());
    const renewal = previous?.holderIdentity === identity;
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(durationMs / 1000),
      renewTime: now,
      acquireTime: renewal && previous.acquireTime !== undefined ? previous.acquireTime : now,
      leaseTransitions: (previous?.leaseTransitions ?? 0) + (renewal || previous === undefined ? 0 : 1),
    };
    if (this.#lease !== undefined) return { ...this.#lease, ...HEAD, spec };
    return { ...HEAD, metadata: { ...(namespace === undefined ? {} : { namespace }), name }, spec };
  }

  /** The Lease as this replica writes it in order to give it back; undefined when it does not hold it. */
  released(): V1Lease | undefined {
    const spec = this.#lease?.spec;
    if (spec?.holderIdentity !== this.#options.identity) return undefined;
    return { ...this.#lease, ...HEAD, spec: { ...spec, holderIdentity: '', leaseDurationSeconds: 1 } };
  }
}

const HEAD = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };

/** metav1.MicroTime: the client's types have a Date, the wire wants six digits behind the second. */
function microTime(ms: number): V1LeaseSpec['renewTime'] & object {
  const text = new Date(ms).toISOString().replace(/(\.\d{3})Z$/, '$1000Z');
  return text as unknown as V1LeaseSpec['renewTime'] & object;
}

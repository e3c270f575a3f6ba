import type { V1Service } from '@kubernetes/client-node';
import type { Clock, Timer } from '../../base/clock.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { type KubeClient, orUndefined } from '../../kube/client/kube-client.ts';
import { listPages } from '../../kube/client/list-pages.ts';
import { slowDown } from '../../kube/budget/pace.ts';
import type { PeerReading } from '../../kube/budget/peer-reading.ts';
import { services } from '../../api/kubernetes/resource.ts';
import { clusterUid } from '../../linking/cluster-uid.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { DropGuard } from './drop-guard.ts';
import type { EventReason } from '../../api/reasons/mirror-reasons.ts';

/** Time from a failed or refused confirmation to the next attempt. */
const RETRY_MS = 15_000;
/**
 * Where the target's identity cannot be read, or was not known before, nothing but time can tell a mistake
 * from intent: the second list waits this long.
 */
const BLIND_DELAY_MS = 30_000;
/** How often the identity is asked for during that wait. */
const BLIND_RETRY_MS = 3000;
/** Time to the next list, while exports are still disappearing or the target is being replaced. */
const NEXT_LIST_MS = 250;

/** The target, the guard that holds removals, and who hears of decisions. */
export interface DropConfirmationOptions {
  readonly remote: KubeClient;
  /** How the target may be read; default without limits. */
  readonly reading?: PeerReading;
  readonly guard: DropGuard;
  /** Selectors of one list each; the empty one lists everything. */
  readonly selectors: readonly string[];
  /** The guard's keys of a listed Service: as a mirror, as a member, or both. */
  readonly claimsOf: (service: V1Service) => readonly string[];
  /**
   * Some Service of the target as it is known here; undefined: none is known. Where the cluster that answers
   * has it with the same UID, what is known is of that cluster.
   */
  readonly witness: () => V1Service | undefined;
  /** UID of the target's `default/kubernetes` Service when it was last seen; undefined: it is not known. */
  readonly knownUid: string | undefined;
  /** The UID of a cluster that a person has accepted in the target's place (annotation on the Link). */
  readonly acceptedUid: string | undefined;
  /** Reconciles these claims again: their removal is no longer held, or still is. */
  readonly reconsider: (claims: readonly string[]) => void;
  readonly tell: (reason: EventReason, message: string) => void;
  /** `uid` or `replacedBy` has changed. */
  readonly onIdentity: () => void;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Decides whether removals that the drop guard holds may go on (ADR 0011). A second full list alone cannot
 * tell a cluster that was emptied from one whose exports were meant to end, so that the target's identity
 * counts too: the UID of its `default/kubernetes` Service, which is made with its etcd. In the same cluster a
 * second list confirms the removals; in a cluster that was rebuilt they stay held, until the exports are back
 * or a person accepts the new cluster on the Link.
 */
export class DropConfirmation {
  readonly #options: DropConfirmationOptions;
  #uid: string | undefined;
  #running = false;
  #timer: Timer | undefined;
  /** Since when removals wait without a known identity (monotonic milliseconds). */
  #blindSince: number | undefined;
  #replacedBy: string | undefined;

  constructor(options: DropConfirmationOptions) {
    this.#options = options;
    this.#uid = options.knownUid;
  }

  /** The target's identity; undefined: it is not known. */
  get uid(): string | undefined {
    return this.#uid;
  }

  /**
   * The UID of the cluster that has taken the place of the known one, while removals are held because of it.
   */
  get replacedBy(): string | undefined {
    return this.#replacedBy;
  }

  /**
   * Learns the target's identity, but not while removals are held, because then it is in question. Nor is the
   * identity of a cluster learned that does not have the witness: it may have taken the place of the one that
   * was listed. Never throws.
   */
  async learn(): Promise<void> {
    const { guard, signal, log } = this.#options;
    try {
      const uid = await this.#readUid();
      if (uid === undefined) return;
      const isListed = uid === this.#uid || (await this.#hasWitness());
      if (signal.aborted || guard.holding) return;
      if (!isListed) {
        log.info({ is: uid }, 'target has nothing of what is known from it, identity not learnt yet');
        this.#later(RETRY_MS);
        return;
      }
      this.#identified(uid, undefined);
    } catch (error) {
      log.debug({ err: error }, 'identity of the target not read');
    }
  }

  /**
   * Exports have changed. Where a rebuilt cluster has them back, so that nothing is held any more, its
   * identity is learned.
   */
  recheck(): void {
    const { guard } = this.#options;
    if (this.#replacedBy === undefined || guard.holding) return;
    this.#identified(this.#uid, undefined);
    void this.learn();
  }

  /**
   * Some removal is held: begins to find out whether it may go on. Does nothing where that has begun already.
   */
  request(): void {
    if (this.#running || this.#timer !== undefined || this.#options.signal.aborted) return;
    this.#running = true;
    void this.#confirm().finally(() => {
      this.#running = false;
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  async #confirm(): Promise<void> {
    const { guard, log, tell, acceptedUid } = this.#options;
    const absent = guard.absent.length;
    log.warn({ mirrors: guard.claims, absent }, 'many mirrors would go at once: held until confirmed');
    tell('DropHeld', `${absent} of ${guard.claims} mirrors would go at once; a second list must confirm it`);
    try {
      const uid = await this.#readUid();
      if (uid !== undefined && this.#uid !== undefined && uid !== this.#uid && uid !== acceptedUid) {
        this.#refuse(uid);
        return;
      }
      const isBlind = uid === undefined || this.#uid === undefined;
      if (isBlind && !this.#blindWaitOver()) {
        // An API server that has just started makes its Service within seconds: it is asked again soon.
        this.#later(BLIND_RETRY_MS);
        return;
      }
      const present = await this.#list();
      // The list is this cluster's only if the identity was the same before and after it.
      if ((await this.#readUid()) !== uid) {
        this.#later(NEXT_LIST_MS);
        return;
      }
      this.#confirmedBy(present, uid);
    } catch (error) {
      if (this.#options.signal.aborted) return;
      log.warn({ err: error }, 'second full list failed, removals stay held');
      this.#later(RETRY_MS);
    }
  }

  /** A second list of the same cluster has been read: what it does not have may go. */
  #confirmedBy(present: ReadonlySet<string>, uid: string | undefined): void {
    const { guard, log, tell, reconsider } = this.#options;
    const confirmed = guard.confirm(present);
    this.#identified(uid ?? this.#uid, undefined);
    this.#blindSince = undefined;
    log.warn({ confirmed: confirmed.length }, 'second full list confirms removals');
    tell('DropConfirmed', `a second list confirms that ${confirmed.length} Services are no longer exported`);
    // All that are absent, not only those that were confirmed: the rest may be too few now to be held at all.
    reconsider(guard.absent);
    // An export may have gone after its part of the list was read: another list has to confirm it.
    if (guard.holding) this.#later(NEXT_LIST_MS);
  }

  /** The target is another cluster than before: removals stay held. */
  #refuse(uid: string): void {
    const { log, tell } = this.#options;
    if (this.#replacedBy !== uid) {
      log.error({ was: this.#uid, is: uid }, 'target is another cluster than before, removals stay held');
      tell('ClusterReplaced', `the target was ${this.#uid ?? ''} and is now ${uid}; removals are held`);
    }
    this.#identified(this.#uid, uid);
    this.#later(RETRY_MS);
  }

  #identified(uid: string | undefined, replacedBy: string | undefined): void {
    if (uid === this.#uid && replacedBy === this.#replacedBy) return;
    this.#uid = uid;
    this.#replacedBy = replacedBy;
    this.#options.onIdentity();
  }

  #blindWaitOver(): boolean {
    const now = this.#options.clock.monotonic();
    this.#blindSince ??= now;
    return now - this.#blindSince >= BLIND_DELAY_MS;
  }

  #later(ms: number): void {
    const { clock, guard } = this.#options;
    // One timer: a later call takes the place of an earlier one.
    this.#timer?.cancel();
    this.#timer = clock.after(
      ms,
      () => {
        this.#timer = undefined;
        if (guard.holding) {
          this.request();
          return;
        }
        // Nothing is held any more: what is still absent is too little to need a second list.
        this.#options.reconsider(guard.absent);
        void this.learn();
      },
      { unref: true },
    );
  }

  #readUid(): Promise<string | undefined> {
    return clusterUid(this.#options.remote, this.#options.signal);
  }

  /** Whether the cluster that answers has the witness; true where none is known. */
  async #hasWitness(): Promise<boolean> {
    const { witness, remote, signal } = this.#options;
    const known = witness()?.metadata;
    if (known === undefined) return true;
    const { namespace = '', name = '', uid } = known;
    const found = await orUndefined(remote.get(services, { namespace, name }, { signal }));
    return found !== undefined && found.metadata?.uid === uid;
  }

  /**
   * The claims of all Services in a fresh full list.
   * @throws LinkspanError PEER_OVER_BUDGET, KUBE_…; the signal's reason
   */
  async #list(): Promise<ReadonlySet<string>> {
    const { remote, selectors, signal, claimsOf, reading, clock } = this.#options;
    const present = new Set<string>();
    let bytes = 0;
    const note = (service: V1Service): undefined => {
      for (const claim of claimsOf(service)) {
        present.add(claim);
        bytes += claim.length;
      }
      const limits = reading?.budget.limits;
      if (limits !== undefined && (present.size > limits.objects || bytes > limits.bytes))
        throw new LinkspanError('PEER_OVER_BUDGET', 'a second list has more objects than may be held');
    };
    for (const selector of selectors) {
      const pages = listPages(remote, services, {
        ...(selector === '' ? {} : { labelSelector: selector }),
        ...(reading === undefined ? {} : { maxPages: reading.maxPages }),
        signal,
        keep: note,
      });
      for await (const page of pages) await slowDown(reading?.pace, page.bytes, clock, signal);
    }
    return present;
  }
}

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

/** How long after a failed or refused confirmation the next one follows. */
const RETRY_MS = 15_000;
/**
 * Where the target's identity cannot be read, or was not known before, the second list waits this long: time
 * alone has to tell a mistake from intent.
 */
const BLIND_DELAY_MS = 30_000;
const BLIND_RETRY_MS = 3000;
/** Between two lists of one removal that is still going on. */
const NEXT_LIST_MS = 250;

export interface DropConfirmationOptions {
  readonly remote: KubeClient;
  /** How the target may be read; default without limits. */
  readonly reading?: PeerReading;
  readonly guard: DropGuard;
  /** Selectors of one list each; the empty one lists everything. */
  readonly selectors: readonly string[];
  /** The guard's keys of what a listed Service stands for. */
  readonly claimsOf: (service: V1Service) => readonly string[];
  /**
   * A Service of the target as it is known here, undefined: none is. The same one over there shows that what
   * is known is of the cluster that answers.
   */
  readonly witness: () => V1Service | undefined;
  /** UID of the target's `default/kubernetes` Service as it was last time; undefined: not known. */
  readonly knownUid: string | undefined;
  /** The UID that a person has accepted (annotation on the Link). */
  readonly acceptedUid: string | undefined;
  /** These may go now, or have to wait on: look at them again. */
  readonly reconsider: (claims: readonly string[]) => void;
  readonly tell: (reason: EventReason, message: string) => void;
  /** `uid` or `replacedBy` has changed. */
  readonly onIdentity: () => void;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Decides whether removals that the drop guard holds may go on. A second full list alone cannot tell an
 * emptied cluster from an intended unexport, so the target's identity is looked at too: the UID of its
 * `default/kubernetes` Service is made with its etcd. In the same cluster a second list confirms at once; in
 * a cluster that was rebuilt, removals stay held until the exports are back or a person accepts the new
 * cluster on the Link.
 */
export class DropConfirmation {
  readonly #options: DropConfirmationOptions;
  #uid: string | undefined;
  #running = false;
  #timer: Timer | undefined;
  #blindSince: number | undefined;
  #replacedBy: string | undefined;

  constructor(options: DropConfirmationOptions) {
    this.#options = options;
    this.#uid = options.knownUid;
  }

  /** The target's identity to remember. */
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
   * Learns the target's identity, unless removals are held: then it is what has to be confirmed. A cluster
   * that has none of what is known from it may have taken the place of the one that was listed since: its
   * identity is not learnt. Never throws.
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
   * Exports have changed: where a cluster that was rebuilt has them back, it is the one to know from now on.
   */
  recheck(): void {
    const { guard } = this.#options;
    if (this.#replacedBy === undefined || guard.holding) return;
    this.#identified(this.#uid, undefined);
    void this.learn();
  }

  /** Some removal is held: finds out whether it may go on. Calls of one moment are one. */
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
        // A server that has only just begun makes the Service within seconds.
        this.#later(BLIND_RETRY_MS);
        return;
      }
      const present = await this.#list();
      // The list is of this cluster only if that was there before and after it.
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

  /** What a second list of the same cluster does not have may go. */
  #confirmedBy(present: ReadonlySet<string>, uid: string | undefined): void {
    const { guard, log, tell, reconsider } = this.#options;
    const confirmed = guard.confirm(present);
    this.#identified(uid ?? this.#uid, undefined);
    this.#blindSince = undefined;
    log.warn({ confirmed: confirmed.length }, 'second full list confirms removals');
    tell('DropConfirmed', `a second list confirms that ${confirmed.length} Services are no longer exported`);
    // All that are absent, not only the confirmed ones: what is left may be too little now to be held at all.
    reconsider(guard.absent);
    // An export may have gone after its part of the list was read: another list has to confirm it.
    if (guard.holding) this.#later(NEXT_LIST_MS);
  }

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
        // Nothing is held any more: what is still absent is little enough to go without a second list.
        this.#options.reconsider(guard.absent);
        void this.learn();
      },
      { unref: true },
    );
  }

  #readUid(): Promise<string | undefined> {
    return clusterUid(this.#options.remote, this.#options.signal);
  }

  /** Whether something that is known from the target is there now; true where nothing is known. */
  async #hasWitness(): Promise<boolean> {
    const { witness, remote, signal } = this.#options;
    const known = witness()?.metadata;
    if (known === undefined) return true;
    const { namespace = '', name = '', uid } = known;
    const found = await orUndefined(remote.get(services, { namespace, name }, { signal }));
    return found !== undefined && found.metadata?.uid === uid;
  }

  /** The claims that a fresh list has. */
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

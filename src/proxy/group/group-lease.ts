import type { Field } from '../http/fields.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { Connection, ConnectionOwner } from '../io/connection.ts';
import type { MoveReason } from '../metrics/group-counters.ts';
import type { PickedEndpoint } from '../upstream/balancer/endpoint.ts';
import type { ConnectionLease, LeaseProtocol } from '../upstream/connection-lease.ts';
import type { LeaseRequest } from '../upstream/session-target.ts';
import type { GroupBackend } from './group-backend.ts';
import { areFull } from './group-moves.ts';
import type { ChosenBackend, RequestedGroup } from './requested-group.ts';

/** What a connection of a group is for. */
export interface GroupLeaseOptions {
  readonly fresh: boolean;
  readonly protocol: LeaseProtocol;
  readonly client: Field | undefined;
  readonly asked: LeaseRequest | undefined;
}

/**
 * A connection to one of a group's targets, for a raw flow or a request that takes its connection. Where the
 * target cannot be connected to, or its gateway refuses the flow before anything of it has reached an
 * endpoint, another target is asked.
 */
export class GroupLease implements ConnectionOwner {
  readonly #group: RequestedGroup;
  readonly #options: GroupLeaseOptions;
  readonly #startedAt: number;
  /** In this round. */
  #tried: GroupBackend[] = [];
  readonly #failures = new Map<string, ProxyFailure>();
  #rounds = 0;
  /** Whether some backend was connected to and has refused it, so that this is no outage. */
  #refused = false;
  #backend: GroupBackend | undefined;
  #given: { endpoint: PickedEndpoint } | undefined;

  constructor(group: RequestedGroup, options: GroupLeaseOptions) {
    this.#group = group;
    this.#options = options;
    this.#startedAt = group.clock.monotonic();
  }

  /** @throws ProxyFailure */
  async open(): Promise<ConnectionLease> {
    const failure = this.#group.outOfReach(this.#startedAt);
    if (failure !== undefined) {
      this.#group.numbers.refused++;
      throw failure;
    }
    const lease = { ...(await this.#find()) };
    this.#given = lease;
    return lease;
  }

  onTaken(): void {
    const backend = this.#backend;
    if (backend === undefined) return;
    backend.served();
    this.#served(backend);
  }

  async onRefused(failure: ProxyFailure): Promise<Connection | ProxyFailure> {
    const group = this.#group;
    try {
      const backend = this.#backend;
      if (backend !== undefined) {
        // A gateway that was lost has said nothing of its endpoints.
        if (!failure.lost) backend.rest(group.clock.monotonic(), group.random);
        this.#refused = true;
        this.#leave(backend, failure, failure.kind === 'failfast' ? 'no_endpoints' : 'refused');
      }
      this.#given?.endpoint.abandon();
      const { connection, endpoint } = await this.#find();
      if (this.#given !== undefined) this.#given.endpoint = endpoint;
      return connection;
    } catch (error) {
      return group.caught(error);
    }
  }

  /** @throws ProxyFailure */
  async #find(): Promise<ConnectionLease> {
    const group = this.#group;
    for (;;) {
      const chosen = group.pick(this.#tried, group.clock.monotonic());
      if (chosen !== undefined) {
        const lease = await this.#of(chosen);
        if (lease !== undefined) return lease;
        continue;
      }
      group.numbers.pending++;
      if (!(await this.#mayStartOver().finally(() => group.numbers.pending--))) {
        group.numbers.refused++;
        throw group.unserved(this.#failures);
      }
      this.#tried = [];
      this.#failures.clear();
    }
  }

  /**
   * A connection of one backend; undefined: another is to be asked.
   * @throws ProxyFailure: the client may not use it, or a mistake of ours
   */
  async #of({ backend, alternatives }: ChosenBackend): Promise<ConnectionLease | undefined> {
    const group = this.#group;
    const { fresh, protocol, client, asked } = this.#options;
    const refusal = asked?.permit?.(backend.name);
    if (refusal !== undefined) {
      backend.numbers.failed++;
      throw refusal;
    }
    try {
      const lease = await backend.target.leaseOrFail(fresh, protocol, { client, alternatives });
      group.outage.over();
      this.#backend = backend;
      const { connection } = lease;
      if ('owner' in connection) connection.owner = this;
      else this.#served(backend);
      return lease;
    } catch (error) {
      const failure = group.caught(error);
      if (failure.isOurs) throw failure;
      backend.unreached = failure;
      this.#leave(backend, failure, 'connect');
      return undefined;
    }
  }

  #served(backend: GroupBackend): void {
    backend.numbers.served++;
    this.#group.numbers.answered(backend.name, this.#group.clock);
  }

  #leave(backend: GroupBackend, failure: ProxyFailure, why: MoveReason): void {
    this.#tried.push(backend);
    this.#failures.set(backend.name, failure);
    this.#group.numbers.left(backend.name, why, this.#group.clock.monotonic());
  }

  /** Waits before another round, where there may be one. */
  async #mayStartOver(): Promise<boolean> {
    const group = this.#group;
    const { asked } = this.#options;
    if (asked?.once === true || asked?.alternatives !== undefined) return false;
    if (this.#failures.size === 0 || areFull(this.#failures)) return false;
    if (!group.mayOpenAgain(group.clock.monotonic() - this.#startedAt)) return false;
    const round = this.#rounds++;
    if (!this.#refused) return group.outage.mayTryAgain(round);
    await group.untilOpenAgain(round);
    return true;
  }
}

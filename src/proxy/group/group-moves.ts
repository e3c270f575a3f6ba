import type { OutgoingRequest } from '../http/messages.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { GroupBackend } from './group-backend.ts';
import type { RequestedGroup } from './requested-group.ts';

export const NONE_TRIED: readonly GroupBackend[] = [];

/** What a request has beyond its first try; most have none of it. */
export class GroupMoves {
  /** Backends that it has left in this round. */
  tried = NONE_TRIED;
  /** Why each backend could not be connected to, in this round. */
  failures: Map<string, ProxyFailure> | undefined;
  rounds = 0;
  /** Why the backend refuses the request, if it has sent the interim response of `refusalReason`. */
  reason: string | undefined;
  /** Whether it has been sent again after a connection was lost, which is done once. */
  repeated = false;

  /** It leaves a backend, for another one. */
  leave(backend: GroupBackend): void {
    this.tried = [...this.tried, backend];
    this.reason = undefined;
  }

  /** Another round begins. */
  startOver(): void {
    this.tried = NONE_TRIED;
    this.failures = undefined;
  }
}

/**
 * Waits before a request goes to all backends once more.
 * @param startedAt when the request came, monotonic milliseconds
 * @returns false, without waiting, where there may be no other round
 */
export async function mayStartOver(
  group: RequestedGroup,
  { alternatives }: Pick<OutgoingRequest, 'alternatives'>,
  startedAt: number,
  { failures, rounds }: GroupMoves,
): Promise<boolean> {
  // Whoever has sent it tries its others, which may be sooner.
  if (alternatives !== undefined) return false;
  if (group.backends.length === 0 || !group.mayOpenAgain(group.clock.monotonic() - startedAt)) return false;
  if (failures !== undefined) return !areFull(failures) && group.outage.mayTryAgain(rounds);
  await group.untilOpenAgain(rounds);
  return true;
}

/** Whether all backends have as many requests as they may have: then no other round is made. */
export function areFull(failures: ReadonlyMap<string, ProxyFailure>): boolean {
  return failures.values().every(({ kind }) => kind === 'load shed');
}

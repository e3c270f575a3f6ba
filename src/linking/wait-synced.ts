import { sleep, type Clock } from '../base/clock.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { keyOf } from '../api/kubernetes/resource.ts';
import { links, type LinkObject } from '../api/link/link-schema.ts';
import { LINK_CONDITIONS, type Condition } from '../api/link/link-status.ts';

const POLL_MS = 500;
/**
 * How long a Link whose credentials were replaced must be synced, milliseconds: at first its status may be
 * about the old ones.
 */
const HOLD_MS = 7000;

/** How far a Link is, by its status. */
export type LinkState =
  | { readonly state: 'waiting'; readonly why: string }
  /** It is synced; `trouble` lists the conditions that are bad all the same. */
  | { readonly state: 'synced'; readonly mirrors: number; readonly trouble: readonly string[] };

/** The state that a Link's status means for `waitUntilSynced`. Pure. */
export function linkState(link: LinkObject): LinkState {
  const conditions = currentConditions(link);
  if (conditions.length === 0) return { state: 'waiting', why: NOT_TAKEN_UP };
  const blocking = conditions.find(blocks);
  if (blocking !== undefined) return { state: 'waiting', why: conditionText(blocking) };
  const trouble = conditions
    .filter(({ status, reason }) => status === 'False' || reason === 'ImportsRefused')
    .map(conditionText);
  return { state: 'synced', mirrors: link.status?.mirrorCount ?? 0, trouble };
}

const NOT_TAKEN_UP = 'no controller has taken it up yet';

/** The conditions in their order, without those of an earlier generation of the spec. */
function currentConditions({ metadata, status }: LinkObject): Condition[] {
  const generation = metadata?.generation ?? 0;
  return LINK_CONDITIONS.flatMap((type) =>
    (status?.conditions ?? []).filter(
      (condition) => condition.type === type && (condition.observedGeneration ?? generation) >= generation,
    ),
  );
}

/**
 * Whether a condition means that waiting may help. A dead gateway and Services that cannot be mirrored do
 * not: waiting does not change them.
 */
function blocks({ type, status, reason }: Condition): boolean {
  if (type === 'GatewayAlive') return reason === 'Waiting';
  if (type === 'Synced') return status !== 'True' && reason !== 'SomeNotMirrored';
  return status === 'False';
}

/** A condition for people: `Synced: Mirroring`, with its message where it has one. */
export function conditionText({ type, reason, message }: Condition): string {
  return `${type}: ${reason}${message === '' ? '' : ` (${message})`}`;
}

export interface WaitOptions {
  readonly client: Pick<KubeClient, 'get'>;
  readonly ref: { readonly namespace: string; readonly name: string };
  readonly timeoutMs: number;
  readonly replacesCredentials: boolean;
  readonly clock: Clock;
  readonly onProgress: (text: string) => void;
}

/**
 * Waits until a Link is synced.
 * @throws LinkspanError LINK_NOT_SYNCED with the condition that it failed by, or what the client throws
 */
export async function waitUntilSynced(options: WaitOptions): Promise<LinkState & { state: 'synced' }> {
  const { client, ref, timeoutMs, clock, onProgress } = options;
  const end = clock.monotonic() + timeoutMs;
  let since: number | undefined;
  for (;;) {
    const state = linkState(await client.get(links, ref));
    const now = clock.monotonic();
    if (state.state === 'waiting') since = undefined;
    else since ??= now;
    const held = since !== undefined && now - since >= (options.replacesCredentials ? HOLD_MS : 0);
    if (state.state === 'synced' && held) return state;
    if (now >= end) throw notSynced(ref, state, timeoutMs);
    onProgress(
      `waiting for Link ${keyOf(ref)}: ${state.state === 'waiting' ? state.why : 'synced, looking again'}`,
    );
    await sleep(clock, POLL_MS);
  }
}

function notSynced(ref: WaitOptions['ref'], state: LinkState, timeoutMs: number): LinkspanError {
  const why = state.state === 'waiting' ? state.why : 'it has only just synced';
  const untouched = why === NOT_TAKEN_UP;
  return new LinkspanError(
    'LINK_NOT_SYNCED',
    `Link ${keyOf(ref)} is applied, but not synced after ${timeoutMs / 1000} s: ${why}`,
    untouched
      ? {
          hint: "Install the controller in the source cluster with `linkspan install`; Linkerd's own controller shows no conditions: use --wait 0 with it.",
        }
      : {},
  );
}

import type { ErrorCode } from '../base/error-catalogue.ts';
import { describeError, messageOf, type LinkspanError } from '../base/errors.ts';
import type { LinkReason, WantedCondition } from '../link/status.ts';
import type { MirrorReason } from './reasons.ts';

/** What the conditions of a Link are made from. */
export interface LinkSituation {
  /** Why the Link cannot run at all, if so. */
  readonly problem: LinkspanError | undefined;
  readonly peer: PeerFacts | undefined;
}

/** What the conditions need to know of a running peer. */
export interface PeerFacts {
  readonly exports: { readonly synced: boolean; readonly error: Error | undefined };
  readonly verdicts: ReadonlyMap<string, MirrorReason>;
  readonly depth: number;
}

const CREDENTIAL_REASONS: Partial<Record<ErrorCode, LinkReason>> = {
  LINK_INVALID: 'InvalidLink',
  LINK_DUPLICATE: 'DuplicateCluster',
  CREDENTIALS_MISSING: 'SecretNotFound',
  CREDENTIALS_INVALID: 'InvalidCredentials',
};

/** Reasons that mean an exported Service has no mirror. */
const NOT_MIRRORED: ReadonlySet<MirrorReason> = new Set<MirrorReason>([
  'EgressPortsExhausted',
  'Error',
  'InvalidService',
  'MissingNamespace',
  'NameConflict',
  'NameTooLong',
  'NoGateway',
]);

/** The conditions of a Link: what is true of its credentials, of the target's API, and of its mirrors. Pure. */
export function linkConditions(situation: LinkSituation, generation: number): WantedCondition[] {
  const { problem, peer } = situation;
  const condition = (
    type: string,
    status: WantedCondition['status'],
    reason: LinkReason,
    message = '',
  ): WantedCondition => ({
    type,
    status,
    reason,
    message,
    observedGeneration: generation,
  });
  if (problem !== undefined) {
    const reason = CREDENTIAL_REASONS[problem.code] ?? 'InvalidLink';
    return [
      condition('CredentialsValid', 'False', reason, describeError(problem)),
      condition('APIReachable', 'Unknown', 'Waiting'),
      condition('Synced', 'Unknown', 'Waiting'),
    ];
  }
  if (peer === undefined) return [];
  return [
    condition('CredentialsValid', 'True', 'Accepted'),
    apiCondition(peer, condition),
    syncCondition(peer, condition),
  ];
}

type Make = (
  type: string,
  status: WantedCondition['status'],
  reason: LinkReason,
  message?: string,
) => WantedCondition;

function apiCondition({ exports }: PeerFacts, condition: Make): WantedCondition {
  if (exports.error !== undefined) {
    const status = 'status' in exports.error ? exports.error.status : undefined;
    const reason = status === 401 || status === 403 ? 'Forbidden' : 'Unreachable';
    return condition('APIReachable', 'False', reason, messageOf(exports.error));
  }
  return exports.synced
    ? condition('APIReachable', 'True', 'Connected')
    : condition('APIReachable', 'Unknown', 'Waiting');
}

function syncCondition(peer: PeerFacts, condition: Make): WantedCondition {
  if (!peer.exports.synced)
    return condition('Synced', 'False', 'Waiting', 'the first complete list has not arrived');
  const failed = new Map<MirrorReason, number>();
  for (const reason of peer.verdicts.values()) {
    if (NOT_MIRRORED.has(reason)) failed.set(reason, (failed.get(reason) ?? 0) + 1);
  }
  if (failed.size > 0) {
    const counts = [...failed]
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([reason, count]) => `${count} ${reason}`);
    return condition('Synced', 'False', 'SomeNotMirrored', counts.join(', '));
  }
  return peer.depth > 0
    ? condition('Synced', 'False', 'Mirroring')
    : condition('Synced', 'True', 'AllMirrored');
}

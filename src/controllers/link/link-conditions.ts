import type { ErrorCode } from '../../api/errors/error-catalogue.ts';
import { describeError, messageOf, type LinkspanError } from '../../api/errors/linkspan-error.ts';
import { ACCEPTED_CLUSTER } from '../../api/names.ts';
import type { OverBudget } from '../../kube/budget/peer-budget.ts';
import type { CredentialsVerdict } from './credentials-verdict.ts';
import type { LinkReason, WantedCondition } from '../../api/link/link-status.ts';
import type { GatewayFacts } from '../reconcile/mirror-facts.ts';
import type { AddressReport } from '../../api/answers/admin-answers.ts';
import { isRefused, isUnmirrored, type MirrorReason } from '../../api/reasons/mirror-reasons.ts';
import type { Outcome } from '../reconcile/reconciler.ts';

/** The facts from which the conditions of a Link are worked out. */
export interface LinkSituation {
  /** Why the Link cannot be used, if so; a peer then follows its gateway only. */
  readonly problem: LinkspanError | undefined;
  /** Undefined: none is running. */
  readonly peer: PeerFacts | undefined;
  /** Whether the credentials are valid by what they say themselves; default: they are, and never expire. */
  readonly credentials?: CredentialsVerdict | undefined;
}

/** A running peer (`TargetCluster`), as far as the conditions depend on it. */
export interface PeerFacts {
  readonly link: { readonly name: string; readonly namespace: string };
  readonly synced: boolean;
  readonly apiError: Error | undefined;
  /** Why it is parked; default: it is not. */
  readonly overBudget?: OverBudget | undefined;
  readonly gateway:
    | { readonly facts: GatewayFacts; readonly probed: boolean; readonly reports: readonly AddressReport[] }
    | undefined;
  readonly mirrors: { readonly reconciler: { readonly outcomes: ReadonlyMap<string, Outcome> } };
  readonly federated: { readonly reconciler: { readonly outcomes: ReadonlyMap<string, Outcome> } };
  /** As `Backlog.lasting`. */
  readonly busy: boolean;
  /** As `DropConfirmation.replacedBy`. */
  readonly replacedBy: string | undefined;
}

const CREDENTIAL_REASONS: Partial<Record<ErrorCode, LinkReason>> = {
  LINK_INVALID: 'InvalidLink',
  LINK_DUPLICATE: 'DuplicateCluster',
  CREDENTIALS_MISSING: 'SecretNotFound',
  CREDENTIALS_INVALID: 'InvalidCredentials',
};

type Make = (
  type: WantedCondition['type'],
  status: WantedCondition['status'],
  reason: LinkReason,
  message?: string,
) => WantedCondition;

/**
 * The conditions of a Link: what is true of its credentials, of the target's API, of the gateway's path and
 * of its mirrors. Pure.
 */
export function linkConditions(situation: LinkSituation, generation: number): WantedCondition[] {
  const { problem, peer } = situation;
  const condition: Make = (type, status, reason, message = '') => ({
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
      peer === undefined
        ? condition('GatewayAlive', 'Unknown', 'Waiting')
        : gatewayCondition(peer, condition),
      condition('Synced', 'Unknown', 'Waiting'),
    ];
  }
  if (peer === undefined) return [];
  return [
    credentialsCondition(situation, condition),
    apiCondition(peer, condition),
    gatewayCondition(peer, condition),
    syncCondition(peer, condition),
  ];
}

/** That the target rejects the credentials counts more than what they say of themselves. */
function credentialsCondition({ credentials, peer }: LinkSituation, condition: Make): WantedCondition {
  const { status, reason, message } = credentials ?? { status: 'True', reason: 'Accepted', message: '' };
  const error = peer?.apiError;
  if (status === 'True' && error !== undefined && 'status' in error && error.status === 401)
    return condition('CredentialsValid', 'False', 'CredentialsRejected', messageOf(error));
  return condition('CredentialsValid', status, reason, message);
}

function apiCondition({ apiError, synced, overBudget }: PeerFacts, condition: Make): WantedCondition {
  if (apiError !== undefined) {
    const status = 'status' in apiError ? apiError.status : undefined;
    const reason = status === 401 || status === 403 ? 'Forbidden' : 'Unreachable';
    return condition('APIReachable', 'False', reason, messageOf(apiError));
  }
  return synced || overBudget !== undefined
    ? condition('APIReachable', 'True', 'Connected')
    : condition('APIReachable', 'Unknown', 'Waiting');
}

function gatewayCondition({ gateway }: PeerFacts, condition: Make): WantedCondition {
  if (gateway === undefined) return condition('GatewayAlive', 'Unknown', 'NoGateway');
  const { facts, probed, reports } = gateway;
  if (facts.path === 'unresolved') return condition('GatewayAlive', 'False', 'GatewayUnresolved');
  if (facts.path === 'refused')
    return condition('GatewayAlive', 'False', 'ImportAddressRefused', facts.refusal?.message);
  const { unreached = [] } = facts;
  const trouble = [troubleOf(reports), ...unreached.map(unreachedText)]
    .filter((text) => text !== '')
    .join('; ');
  if (facts.path === 'dead') {
    const probed = unreached.length > 0 ? 'EgressCannotReach' : 'ProbesFailed';
    const reason = facts.doubted === true ? 'OwnNetworkSuspected' : probed;
    return condition('GatewayAlive', 'False', reason, trouble);
  }
  if (facts.path !== 'alive') return condition('GatewayAlive', 'Unknown', 'Waiting');
  return probed
    ? condition('GatewayAlive', 'True', 'ProbesAnswered', trouble)
    : condition('GatewayAlive', 'Unknown', 'NotProbed');
}

function unreachedText(address: string): string {
  return `${address}: probes are answered, the egress cannot reach it`;
}

/** The addresses that do not answer, and why; without latencies, which would change the message each time. */
function troubleOf(reports: readonly AddressReport[]): string {
  return reports
    .filter(({ state }) => state === 'dead')
    .map(
      ({ address, reason, message }) =>
        `${address}: ${reason ?? 'dead'}${message === '' ? '' : ` (${message})`}`,
    )
    .join('; ');
}

/** The reason of the condition for each budget. */
const BUDGET_REASONS: Readonly<Record<OverBudget['budget'], LinkReason>> = {
  bytes: 'OverBudgetMemory',
  objects: 'OverBudgetObjects',
  services: 'OverBudgetServices',
  ports: 'OverBudgetPorts',
  metadata: 'OverBudgetMetadata',
  namespaces: 'OverBudgetNamespaces',
  watches: 'OverBudgetWatches',
  answer: 'OverBudgetAnswer',
  pages: 'OverBudgetPages',
  total: 'OverBudgetTotal',
};

function syncCondition(peer: PeerFacts, condition: Make): WantedCondition {
  if (peer.overBudget !== undefined) {
    const { budget, message } = peer.overBudget;
    return condition('Synced', 'False', BUDGET_REASONS[budget], `parked: ${message}`);
  }
  if (!peer.synced) return condition('Synced', 'False', 'Waiting', 'the first complete list has not arrived');
  const counts = countReasons(peer);
  const held = counts.get('DropHeld') ?? 0;
  if (held > 0 && peer.replacedBy !== undefined) {
    const { name, namespace } = peer.link;
    const command = `kubectl -n ${namespace} annotate link ${name} --overwrite ${ACCEPTED_CLUSTER}=${peer.replacedBy}`;
    return condition(
      'Synced',
      'False',
      'ClusterReplaced',
      `${held} mirrors are kept; to give them up: ${command}`,
    );
  }
  if (held > 0)
    return condition('Synced', 'False', 'DropHeld', `${held} mirrors are kept until a second list`);
  const failed = [...counts].filter(([reason]) => isUnmirrored(reason));
  if (failed.length > 0) {
    const also = [...counts].filter(([reason]) => isUnmirrored(reason) || isRefused(reason));
    return condition('Synced', 'False', 'SomeNotMirrored', countsText(also));
  }
  if (peer.busy) return condition('Synced', 'False', 'Mirroring');
  const refused = countsText([...counts].filter(([reason]) => isRefused(reason)));
  const gaps = [...counts].filter(([reason]) => reason === 'AddressFamilyMismatch');
  return refused === ''
    ? condition('Synced', 'True', 'AllMirrored', countsText(gaps))
    : condition('Synced', 'True', 'ImportsRefused', refused);
}

function countsText(counts: readonly (readonly [MirrorReason, number])[]): string {
  const sorted = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([reason, count]) => `${count} ${reason}`).join(', ');
}

/** For each reason of a note: of how many Services the import policy has left something out. */
export function countNotes(peer: Pick<PeerFacts, 'mirrors' | 'federated'>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { outcomes } of [peer.mirrors.reconciler, peer.federated.reconciler])
    for (const { notes = [] } of outcomes.values())
      for (const { reason } of notes) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return counts;
}

/** How many mirrors and memberships, counted together, have each reason. */
export function countReasons(peer: Pick<PeerFacts, 'mirrors' | 'federated'>): Map<MirrorReason, number> {
  const counts = countOutcomes(peer.mirrors.reconciler.outcomes.values());
  for (const [reason, count] of countOutcomes(peer.federated.reconciler.outcomes.values()))
    counts.set(reason, (counts.get(reason) ?? 0) + count);
  return counts;
}

/** How many outcomes have each reason. */
export function countOutcomes(
  outcomes: Iterable<{ readonly reason: MirrorReason }>,
): Map<MirrorReason, number> {
  const counts = new Map<MirrorReason, number>();
  for (const { reason } of outcomes) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return counts;
}

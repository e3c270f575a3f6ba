import { systemClock, type Clock } from '../base/clock.ts';
import { LinkspanError, messageOf } from '../api/errors/linkspan-error.ts';
import { inParallel } from '../base/in-parallel.ts';
import { MAX_CONNECTIONS } from '../kube/client/agents.ts';
import { type AskedManifest, type Candidate, findCandidates, requireRights } from './apply-facts.ts';
import { isConflict, isNotFound, KubeApiError, type KubeClient } from '../kube/client/kube-client.ts';
import { awaitGone, awaitServed } from './apply-wait.ts';
import { adoptedFields, isWithInstallers } from './managed-fields.ts';
import { inOrder, isMulticlusterObject, refOf, titleOf } from './manifests.ts';
import type { KubeObject } from '../api/kubernetes/resource.ts';

export interface ApplyOptions {
  /** Owner of the fields that are written (server-side apply). */
  readonly fieldManager: string;
  /** Ask the API server about everything and write nothing. */
  readonly dryRun: boolean;
  /** Take over objects of others, and fields that others keep. Default false. */
  readonly force?: boolean;
  /** What the API server warns about, each text once. */
  readonly onWarning?: (text: string) => void;
  /** Told of each object after it was written. */
  readonly onApplied?: (object: KubeObject, what: Applied['what']) => void;
  /** How long a new CRD may take to be served, milliseconds; default 30 s. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
}

/** What became of an object. */
export interface Applied {
  readonly object: KubeObject;
  readonly what: 'created' | 'configured' | 'unchanged';
}

/**
 * Applies objects, all or nothing: who the user is, whose the objects are that are there already, and whether
 * the API server would take each (a dry run on the server) is known before anything is written. Objects whose
 * Namespace or CRD comes with them can only be asked about once that is there: it is made first, and taken
 * away again when they are refused. With `dryRun` those are left unasked.
 *
 * Order: Namespaces, CRDs, accounts, RBAC, configuration, the rest.
 * @throws LinkspanError KIND_NOT_SERVED, RIGHTS_MISSING, APPLY_FOREIGN, APPLY_CONFLICT, APPLY_REFUSED, all
 * before anything is written; APPLY_INCOMPLETE when writing itself fails; or what the client throws
 */
export async function applyAll(
  client: KubeClient,
  objects: readonly KubeObject[],
  options: ApplyOptions,
): Promise<Applied[]> {
  const ordered = inOrder(objects);
  const call = once(options);
  const found = await findCandidates(client, ordered, options.signal);
  await requireRights(client, found, ['get', 'create', 'patch']);
  assertOurs(found, options);
  await assertAccepted(
    client,
    found.filter(({ needs }) => needs.length === 0),
    call,
  );
  if (options.dryRun) return [];
  const made: Applied[] = [];
  try {
    await makePrerequisites(client, found, made, call);
    await assertAccepted(client, await servedNow(client, found, call), call);
  } catch (error) {
    await takeBack(client, made, options);
    throw error;
  }
  return await writeAll(client, found, made, call);
}

/** The same warning comes in the dry run and when it is written: it is said once. */
function once(options: ApplyOptions): ApplyOptions {
  const said = new Set<string>();
  const { onWarning } = options;
  if (onWarning === undefined) return options;
  const sayOnce = (text: string) => {
    if (!said.has(text)) onWarning(text);
    said.add(text);
  };
  return { ...options, onWarning: sayOnce };
}

function assertOurs(found: readonly Candidate[], options: ApplyOptions): void {
  const leaving = found.filter(({ existing }) => existing?.metadata?.deletionTimestamp !== undefined);
  if (leaving.length > 0)
    throw new LinkspanError('APPLY_REFUSED', `being deleted: ${list(leaving)}`, {
      hint: 'Wait until it is gone, and repeat the command.',
    });
  // The mark stays, whoever writes; a dry run does not tell, since its field is taken over only when it is
  // written.
  const immutable = found.filter(({ existing }) => isImmutable(existing));
  if (immutable.length > 0)
    throw new LinkspanError('APPLY_REFUSED', `immutable: ${list(immutable)}`, {
      hint: 'Delete it (`kubectl delete`), and repeat the command, which makes it anew.',
    });
  if (options.force === true) return;
  const foreign = found.filter(
    // A Namespace holds what many have put there: labels are added, nothing is taken.
    ({ existing }) =>
      existing !== undefined &&
      existing.kind !== 'Namespace' &&
      !isMulticlusterObject(existing, options.fieldManager),
  );
  if (foreign.length > 0)
    throw new LinkspanError(
      'APPLY_FOREIGN',
      `there already, and neither Linkspan's nor Linkerd's: ${list(foreign)}`,
    );
}

/** Of Secrets and ConfigMaps: whether nobody may change it any more. */
function isImmutable(object: KubeObject | undefined): boolean {
  return (object as { immutable?: boolean } | undefined)?.immutable === true;
}

const list = (found: readonly Candidate[]) => found.map(({ object }) => titleOf(object)).join(', ');

/** Asks the API server about all of them, and names every one that it would refuse. */
async function assertAccepted(
  client: KubeClient,
  asked: readonly Candidate[],
  options: ApplyOptions,
): Promise<void> {
  const ask = async (candidate: Candidate): Promise<readonly [Candidate, KubeApiError][]> => {
    try {
      await patch(client, candidate, { ...options, dryRun: true });
      return [];
    } catch (error) {
      if (!(error instanceof KubeApiError)) throw error;
      return isBindingOfNewRole(candidate, asked, error) ? [] : [[candidate, error]];
    }
  };
  const refused = (await inParallel(asked, MAX_CONNECTIONS, ask)).flat();
  const [first] = refused;
  if (first === undefined) return;
  const conflicts = refused.every(([, error]) => isConflict(error));
  const texts = refused.map(([{ object }, error]) => `${titleOf(object)}: ${refusalText(error)}`);
  throw new LinkspanError(conflicts ? 'APPLY_CONFLICT' : 'APPLY_REFUSED', texts.join('; '), {
    cause: first[1],
  });
}

/**
 * The API server looks at the rules of a binding's role before it lets somebody without the right to `bind`
 * grant it; a role that is not there yet cannot be looked at. The dry run of the role itself has asked the
 * same: nobody makes a role with more rights than one's own.
 */
function isBindingOfNewRole(
  { object }: Candidate,
  asked: readonly Candidate[],
  error: KubeApiError,
): boolean {
  const { kind, name } = (object as { roleRef?: { kind?: string; name?: string } }).roleRef ?? {};
  return (
    isNotFound(error) &&
    asked.some((other) => other.object.kind === kind && other.object.metadata?.name === name)
  );
}

function refusalText(error: KubeApiError): string {
  const conflicts = error.causes.filter(({ reason }) => reason === 'FieldManagerConflict');
  if (conflicts.length === 0) return error.answer;
  return conflicts.map(({ field = '', message = '' }) => `${field} (${message})`).join(', ');
}

/**
 * One apply. Fields that an installer of the same manifests keeps are taken over; those of anybody else (a
 * person's `kubectl scale`, an autoscaler) are a conflict.
 */
async function patch(
  client: KubeClient,
  candidate: AskedManifest,
  options: ApplyOptions,
): Promise<KubeObject> {
  const { fieldManager, dryRun, onWarning, signal } = options;
  const call = {
    type: 'apply',
    fieldManager,
    dryRun,
    ...(onWarning === undefined ? {} : { onWarning }),
    ...(signal === undefined ? {} : { signal }),
  } as const;
  const { object, resource } = candidate;
  if (resource === undefined) throw new TypeError(`${titleOf(object)}: not served`);
  const send = (force: boolean) => client.patch(resource, refOf(object), object, { ...call, force });
  try {
    return await send(options.force === true);
  } catch (error) {
    if (!(error instanceof KubeApiError) || !isOnlyWithInstallers(error)) throw error;
    return await send(true);
  }
}

function isOnlyWithInstallers({ causes }: KubeApiError): boolean {
  const conflicts = causes.filter(({ reason }) => reason === 'FieldManagerConflict');
  return isWithInstallers(conflicts.map(({ message = '' }) => message));
}

/**
 * Takes over the fields that installers have written, so that those which are no longer in the manifest go. A
 * Namespace is shared: its other labels stay.
 */
async function adopt(client: KubeClient, candidate: Candidate, options: ApplyOptions): Promise<void> {
  const { existing, resource } = candidate;
  if (existing === undefined || resource === undefined || existing.kind === 'Namespace') return;
  const { managedFields = [], resourceVersion } = existing.metadata ?? {};
  const adopted = adoptedFields(managedFields, options.fieldManager);
  if (adopted === undefined) return;
  const body = [
    { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
    { op: 'replace', path: '/metadata/managedFields', value: adopted },
  ];
  await client.patch(resource, refOf(existing), body, { type: 'json', fieldManager: options.fieldManager });
}

/**
 * Applies the Namespaces and CRDs that are new and that other objects need; `made` has those that were, also
 * when it throws.
 */
async function makePrerequisites(
  client: KubeClient,
  found: readonly Candidate[],
  made: Applied[],
  options: ApplyOptions,
): Promise<void> {
  const needed = new Set(found.flatMap(({ needs }) => needs));
  for (const candidate of found.filter(({ object }) => needed.has(object))) {
    const object = await patch(client, candidate, options);
    made.push({ object: { ...candidate.object, ...object }, what: 'created' });
  }
}

/** What waited for a prerequisite, with the resource that is served now. */
async function servedNow(
  client: KubeClient,
  found: readonly Candidate[],
  options: ApplyOptions,
): Promise<Candidate[]> {
  const waiting = found.filter(({ needs }) => needs.length > 0);
  const { clock = systemClock, timeoutMs = 30_000, signal } = options;
  for (const candidate of waiting) {
    candidate.resource ??= await awaitServed(client, candidate.object, { clock, timeoutMs, signal });
  }
  return waiting;
}

/** Takes away what was made a moment ago. */
async function takeBack(client: KubeClient, made: readonly Applied[], options: ApplyOptions): Promise<void> {
  const found = await findCandidates(
    client,
    made.map(({ object }) => object),
    options.signal,
  );
  for (const candidate of found.toReversed()) await remove(client, candidate, false);
  const { clock = systemClock, timeoutMs: waitMs = 30_000 } = options;
  // What it was refused for is what has to be said, even if a Namespace takes long to go.
  await awaitGone(client, found, { clock, waitMs }).catch(() => undefined);
}

async function writeAll(
  client: KubeClient,
  found: readonly Candidate[],
  made: readonly Applied[],
  options: ApplyOptions,
): Promise<Applied[]> {
  const done = [...made];
  for (const { object, what } of made) options.onApplied?.(object, what);
  const already = new Set(made.map(({ object }) => titleOf(object)));
  for (const candidate of found) {
    const { object, existing } = candidate;
    if (already.has(titleOf(object))) continue;
    try {
      await adopt(client, candidate, options);
      const written = await patch(client, candidate, options);
      const what = verdictOf(existing, written);
      done.push({ object, what });
      options.onApplied?.(object, what);
    } catch (error) {
      const count = `${done.length} of ${found.length} objects were written`;
      throw new LinkspanError('APPLY_INCOMPLETE', `${titleOf(object)}: ${messageOf(error)}; ${count}`, {
        cause: error,
      });
    }
  }
  return done;
}

function verdictOf(existing: KubeObject | undefined, written: KubeObject): Applied['what'] {
  if (existing === undefined) return 'created';
  return existing.metadata?.resourceVersion === written.metadata?.resourceVersion
    ? 'unchanged'
    : 'configured';
}

export interface DeleteOptions {
  /** Ask the API server about everything and delete nothing. */
  readonly dryRun: boolean;
  /** Wait until all of them are gone, at most this long; milliseconds. Default: do not wait. */
  readonly waitMs?: number;
  readonly onDeleted?: (object: KubeObject) => void;
  /** Told of what is still there while it waits. */
  readonly onWaiting?: (left: readonly KubeObject[]) => void;
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
}

/**
 * Deletes objects in the opposite order of applying, those of one kind several at once; those that are gone
 * already do not matter. Every deletion is asked about first (rights, and a dry run on the server). An object
 * with a UID is deleted only if it still is that one.
 * @returns those that were there
 * @throws LinkspanError RIGHTS_MISSING, APPLY_REFUSED before anything is deleted; DELETE_INCOMPLETE when some
 * are still there after `waitMs`; or what the client throws
 */
export async function deleteAll(
  client: KubeClient,
  objects: readonly KubeObject[],
  options: DeleteOptions,
): Promise<KubeObject[]> {
  const found = await findCandidates(client, inOrder(objects).toReversed(), options.signal);
  const there = found.filter(({ object, existing }) => {
    const uid = object.metadata?.uid;
    return existing !== undefined && (uid === undefined || uid === existing.metadata?.uid);
  });
  await requireRights(client, there, ['get', 'delete']);
  await assertDeletable(client, there);
  if (options.dryRun) return there.map(({ object }) => object);
  // Of one kind none needs another, and there may be thousands, such as the mirrors of a Link.
  for (const ofKind of Map.groupBy(there, ({ object }) => object.kind).values()) {
    await inParallel(ofKind, MAX_CONNECTIONS, async (candidate) => {
      await remove(client, candidate, false);
      options.onDeleted?.(candidate.object);
    });
  }
  const { waitMs, clock = systemClock } = options;
  if (waitMs !== undefined) await awaitGone(client, there, { ...options, waitMs, clock });
  return there.map(({ object }) => object);
}

async function assertDeletable(client: KubeClient, there: readonly Candidate[]): Promise<void> {
  const refusals = await inParallel(there, MAX_CONNECTIONS, async (candidate) => {
    try {
      await remove(client, candidate, true);
      return [];
    } catch (error) {
      if (!(error instanceof KubeApiError)) throw error;
      return [`${titleOf(candidate.object)}: ${error.answer}`];
    }
  });
  const refused = refusals.flat();
  if (refused.length > 0) throw new LinkspanError('APPLY_REFUSED', `not deletable: ${refused.join('; ')}`);
}

async function remove(client: KubeClient, { object, resource, existing }: Candidate, dryRun: boolean) {
  const uid = existing?.metadata?.uid;
  if (resource === undefined || uid === undefined) return;
  try {
    await client.delete(resource, refOf(object), { uid, dryRun });
  } catch (error) {
    // Gone, or another one of the same name since then: not the one that is meant.
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}

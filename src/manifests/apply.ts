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
  /** Validate everything on the API server (dry run) and write nothing. */
  readonly dryRun: boolean;
  /** Overwrite objects of others, and fields that other managers own; default false. */
  readonly force?: boolean;
  /** Called with each warning of the API server, once for each text. */
  readonly onWarning?: (text: string) => void;
  /** Called for each object after it was written. */
  readonly onApplied?: (object: KubeObject, what: Applied['what']) => void;
  /** How long a new CRD may take to be served, milliseconds; default 30 s. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
}

/** An object and what was done to it. */
export interface Applied {
  readonly object: KubeObject;
  readonly what: 'created' | 'configured' | 'unchanged';
}

/**
 * Applies objects, all or nothing: before anything is written, the user's rights, the owners of existing
 * objects, and whether the API server accepts each object (a dry run on the server) are checked. Objects
 * whose Namespace or CRD is in the same set can only be checked once that exists: it is made first, and
 * deleted again when they are refused. With `dryRun` those are not checked.
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

/** Passes each warning on once: the dry run and the write give the same one. */
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
  // An immutable Secret or ConfigMap cannot be changed by anybody; the dry run does not show that, because
  // the field is taken over only by the write.
  const immutable = found.filter(({ existing }) => isImmutable(existing));
  if (immutable.length > 0)
    throw new LinkspanError('APPLY_REFUSED', `immutable: ${list(immutable)}`, {
      hint: 'Delete it (`kubectl delete`), and repeat the command, which makes it anew.',
    });
  if (options.force === true) return;
  const foreign = found.filter(
    // A Namespace is shared: labels are added to it, and nothing is taken over.
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

/** Whether a Secret or ConfigMap is marked as immutable. */
function isImmutable(object: KubeObject | undefined): boolean {
  return (object as { immutable?: boolean } | undefined)?.immutable === true;
}

const list = (found: readonly Candidate[]) => found.map(({ object }) => titleOf(object)).join(', ');

/**
 * Validates all of them by a dry run on the server.
 * @throws LinkspanError APPLY_REFUSED with every one that is refused
 */
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
 * Whether the dry run of a binding failed only because its role, which is in the same set, does not exist
 * yet. For a user without the right to `bind`, the API server compares the role's rules with the user's
 * rights, which it cannot do for a missing role; the dry run of the role itself has made the same comparison
 * (privilege escalation prevention).
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
 * Server-side apply of one object. Fields of installers of the same manifests are taken over; those of other
 * managers (`kubectl scale`, an autoscaler) are a conflict.
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
 * Takes over the fields that installers own, so that those which are not in the manifest any more are
 * removed. A Namespace is shared, so its other labels stay.
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
 * Applies the new Namespaces and CRDs that other objects depend on; `made` collects those that were applied,
 * also when it throws.
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

/** The objects whose kind is served only now, with its resource. */
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

/** Deletes the prerequisites that were just made. */
async function takeBack(client: KubeClient, made: readonly Applied[], options: ApplyOptions): Promise<void> {
  const found = await findCandidates(
    client,
    made.map(({ object }) => object),
    options.signal,
  );
  for (const candidate of found.toReversed()) await remove(client, candidate, false);
  const { clock = systemClock, timeoutMs: waitMs = 30_000 } = options;
  // The error to report is why the objects were refused, even if deleting a Namespace takes long or fails.
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
  /** Check everything on the API server (dry run) and delete nothing. */
  readonly dryRun: boolean;
  /** Wait until all of them are gone, at most this long; milliseconds. Default: do not wait. */
  readonly waitMs?: number;
  readonly onDeleted?: (object: KubeObject) => void;
  /** Called with the objects that still exist while it waits. */
  readonly onWaiting?: (left: readonly KubeObject[]) => void;
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
}

/**
 * Deletes objects in the opposite order of applying, those of one kind several at once; those that are gone
 * already do not matter. Every deletion is checked first (rights, and a dry run on the server). An object
 * with a UID is deleted only while the existing one has that UID.
 * @returns those that existed
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
  // Objects of one kind do not depend on each other, and there may be thousands, such as the mirrors of a
  // Link.
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
    // Gone, or replaced by another object of the same name, which is not to be deleted.
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}

import type { V1ManagedFieldsEntry, V1ObjectMeta } from '@kubernetes/client-node';
import { MANAGER, MIRRORED_SERVICE_LABEL } from '../names.ts';

/**
 * Who made an object, by what the API server keeps of each writer (`metadata.managedFields`). Labels and
 * annotations can be edited one by one by whoever may write the object; that it was us who made it stays on
 * record as long as one field is still ours, and a person who only puts our labels on an object of their own
 * does not get there. This does not stop malice, and need not: a user who may write an object may as well
 * delete it and make another (ADR 0024).
 */
const BY_US: V1ManagedFieldsEntry[] = [{ manager: MANAGER }];
/** Stands for a Service that one writer made and another has marked as mirrored. */
const MARKED_LATER: V1ManagedFieldsEntry[] = [{ manager: '' }];

/**
 * Reduces `managedFields` of an object that mirroring reads to one of two constants, or to nothing.
 * Changes the object.
 */
export function keepMaker<T extends { metadata?: V1ObjectMeta }>(object: T): T {
  const { metadata } = object;
  if (metadata?.managedFields === undefined) return object;
  if (madeByUs(object)) metadata.managedFields = BY_US;
  else if (wasMarkedLater(metadata.managedFields)) metadata.managedFields = MARKED_LATER;
  else delete metadata.managedFields;
  return object;
}

/** Whether we made an object, or have written to it since. */
export function madeByUs(object: { metadata?: V1ObjectMeta } | undefined): boolean {
  return (object?.metadata?.managedFields ?? []).some(({ manager }) => manager === MANAGER);
}

/**
 * Whether one writer made an object and another marked it as mirrored, and neither is us: it is a user's own,
 * whatever its labels say.
 */
export function markedLater(object: { metadata?: V1ObjectMeta }): boolean {
  return object.metadata?.managedFields?.[0]?.manager === '';
}

function wasMarkedLater(entries: readonly V1ManagedFieldsEntry[]): boolean {
  const marking = entries.filter(({ fieldsV1 }) =>
    has(fieldsV1, 'f:metadata', 'f:labels', `f:${MIRRORED_SERVICE_LABEL}`),
  );
  const making = entries.filter(({ fieldsV1 }) => has(fieldsV1, 'f:spec', 'f:ports'));
  if (marking.length === 0 || making.length === 0) return false;
  return !marking.some(({ manager }) => making.some((other) => other.manager === manager));
}

/** Whether a field is in a set of fields (KEP-555's FieldsV1). */
function has(fields: unknown, ...path: readonly string[]): boolean {
  let at: unknown = fields;
  for (const step of path) {
    if (typeof at !== 'object' || at === null || !(step in at)) return false;
    at = (at as Readonly<Record<string, unknown>>)[step];
  }
  return true;
}

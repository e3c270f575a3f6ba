import type { V1ManagedFieldsEntry } from '@kubernetes/client-node';
import { CLI_MANAGER, MANAGER } from '../api/names.ts';

/** Field managers of programs that install the same manifests; their fields are taken over. */
const INSTALLERS: ReadonlySet<string> = new Set([
  'kubectl',
  'kubectl-client-side-apply',
  'helm',
  CLI_MANAGER,
]);

/**
 * Whether conflicts (messages of an API server) are only with installers or our own controller. The
 * controller writes its fields of such an object (a renewed token) again, so that a person's change may
 * overwrite them.
 */
export function isWithInstallers(messages: readonly string[]): boolean {
  // `kubectl scale` has the same manager as `kubectl apply --server-side`, but writes a subresource.
  const managers = messages.map((text) => {
    const [, manager = '', rest = ''] = text.split('"');
    return text.includes('conflict with "') && !rest.startsWith(' with subresource') ? manager : '';
  });
  return managers.length > 0 && managers.every((manager) => manager === MANAGER || INSTALLERS.has(manager));
}

/**
 * The `managedFields` after `manager` has taken over the fields of installers, so that those which are not in
 * the new manifest are removed when it is applied: with their former owner they would stay (a container of
 * the old Deployment beside the new one). kubectl does the same when it migrates from client-side to
 * server-side apply.
 * @returns undefined when there is nothing to take over
 */
export function adoptedFields(
  entries: readonly V1ManagedFieldsEntry[],
  manager: string,
): V1ManagedFieldsEntry[] | undefined {
  const theirs = entries.filter((entry) => isInstallers(entry) && !isOwn(entry, manager));
  if (theirs.length === 0) return undefined;
  const own = entries.filter((entry) => isOwn(entry, manager));
  const all = [...own, ...theirs];
  const [first] = all;
  const adopted: V1ManagedFieldsEntry = {
    ...first,
    manager,
    operation: 'Apply',
    fieldsV1: all.map(({ fieldsV1 }) => (fieldsV1 ?? {}) as Fields).reduce(union, {}),
  };
  return [adopted, ...entries.filter((entry) => !all.includes(entry))];
}

function isOwn({ manager, operation, subresource }: V1ManagedFieldsEntry, name: string): boolean {
  return manager === name && operation === 'Apply' && !hasText(subresource);
}

function isInstallers({ manager = '', operation, subresource }: V1ManagedFieldsEntry): boolean {
  if (hasText(subresource) || !INSTALLERS.has(manager)) return false;
  // The manager `kubectl` is server-side apply; other verbs of kubectl have managers of their own.
  return operation === 'Apply' || manager !== 'kubectl';
}

const hasText = (text: string | undefined) => text !== undefined && text !== '';

/** Sets of fields, nested (`f:spec`, `k:{"name":"a"}`, `.`). */
interface Fields {
  readonly [key: string]: Fields;
}

function union(a: Fields, b: Fields): Fields {
  const both: Record<string, Fields> = { ...a };
  for (const [key, fields] of Object.entries(b)) both[key] = union(both[key] ?? {}, fields);
  return both;
}

import { type DeltaEvent, type Table, type TableChange, TABLES, type Tables } from './snapshot.ts';

/**
 * What has changed from one to the other; undefined: nothing. Rows that are the same object are not looked
 * at.
 */
export function changesOf(before: Tables, after: Tables): DeltaEvent['changes'] | undefined {
  const found: Record<string, TableChange<unknown>> = {};
  for (const name of TABLES) {
    const change = changeOf(before[name], after[name]);
    if (change !== undefined) found[name] = change;
  }
  return Object.keys(found).length === 0 ? undefined : (found as DeltaEvent['changes']);
}

function changeOf(old: Table<unknown>, now: Table<unknown>): TableChange<unknown> | undefined {
  if (old === now) return undefined;
  const set = Object.entries(now).filter(([key, row]) => !Object.hasOwn(old, key) || !isSame(old[key], row));
  const gone = Object.keys(old).filter((key) => !Object.hasOwn(now, key));
  if (set.length === 0 && gone.length === 0) return undefined;
  return {
    ...(set.length === 0 ? {} : { set: Object.fromEntries(set) }),
    ...(gone.length === 0 ? {} : { gone }),
  };
}

/** Whether two values would be the same JSON, whatever the order of keys. */
function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [a, b] as readonly Readonly<Record<string, unknown>>[];
  const keys = Object.keys(left ?? {});
  if (keys.length !== Object.keys(right ?? {}).length) return false;
  return keys.every((key) => isSame(left?.[key], right?.[key]));
}

import { firstProblem } from '../../base/config.ts';
import { z } from 'zod';

/** A page of an admin port: a list of entries in JSON. */
export interface AnswerPage<T> {
  readonly path: string;
  /**
   * Reads the body.
   * @throws RangeError that names what is not as it should be
   */
  readonly read: (body: unknown) => readonly T[];
}

/** What could be read of a page whose writer is not believed. */
export interface Rows<T> {
  readonly rows: readonly T[];
  /** Entries that are not as they should be, or beyond the bound. */
  readonly skipped: number;
}

/** As `AnswerPage`, of a writer whose word is weighed: one bad entry must not silence all others. */
export interface RowsPage<T> {
  readonly path: string;
  /**
   * Reads the body.
   * @throws RangeError when it is no list
   */
  readonly read: (body: unknown) => Rows<T>;
}

/** The fields that a reader uses must be there and of their type; further fields are passed on. */
export function page<T>(path: string, entry: z.ZodType): AnswerPage<T> {
  const list = z.array(entry);
  return {
    path,
    read: (body) => {
      const parsed = list.safeParse(listOf(body));
      if (parsed.success) return body as readonly T[];
      throw new RangeError(`the answer of ${path} is not one of this version: ${firstProblem(parsed.error)}`);
    },
  };
}

/**
 * A page that is read entry by entry: those that are not as they should be are left out. Fields that no
 * reader uses are dropped.
 * @param most entries that are looked at
 */
export function rowsPage<T>(path: string, entry: z.ZodType<T>, most: number): RowsPage<T> {
  return {
    path,
    read: (body) => {
      const list = listOf(body);
      const rows = list.slice(0, most).flatMap((one) => {
        const parsed = entry.safeParse(one);
        return parsed.success ? [parsed.data] : [];
      });
      return { rows, skipped: list.length - rows.length };
    },
  };
}

function listOf(body: unknown): readonly unknown[] {
  if (Array.isArray(body)) return body;
  throw new RangeError('the answer is no list; is this the admin port of a Linkspan program?');
}

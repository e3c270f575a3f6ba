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

/** The fields that a reader uses must be there and of their type; further fields are passed on. */
export function page<T>(path: string, entry: z.ZodType): AnswerPage<T> {
  const list = z.array(entry);
  return {
    path,
    read: (body) => {
      if (!Array.isArray(body))
        throw new RangeError('the answer is no list; is this the admin port of a Linkspan program?');
      const parsed = list.safeParse(body);
      if (parsed.success) return body as readonly T[];
      const [issue] = parsed.error.issues;
      throw new RangeError(
        `the answer of ${path} is not one of this version: ${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? ''}`,
      );
    },
  };
}

import { firstProblem } from '../../base/config.ts';
import { z } from 'zod';

/** A value of somebody else's object that is not as its kind demands. The message is one line, for people. */
export class NotValid extends Error {
  override readonly name = 'NotValid';
}

/** Longest message: it may quote what a stranger has written. */
const MAX_MESSAGE = 300;

/** The value as the schema has it. @throws NotValid, naming the first field that is wrong */
export function readValue<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new NotValid(firstProblem(parsed.error).slice(0, MAX_MESSAGE));
}

/** Name of a Service, as a DNS label in lower case (RFC 1035). */
export const serviceName = z.string().regex(/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/, 'not the name of a Service');
/** Name of a namespace (RFC 1123). */
export const namespaceName = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'not the name of a namespace');
export const portNumber = z.int().min(1).max(65_535);

/** Greatest weight: that of an int32, of which a list adds up exactly. */
const MAX_WEIGHT = 0x7fffffff;
const SUFFIXES: Readonly<Record<string, number>> = { m: 0.001, k: 1000 };

/**
 * A weight: a number, or a quantity of Kubernetes as far as weights need it: `90`, `0.5`, `500m`, `1k`. Only
 * proportions matter, so thousandths stay fractions.
 */
export const weight = z.union([z.number(), z.string()]).transform((value, context) => {
  const [, amount = '', suffix = ''] = /^(\d{1,15}(?:\.\d{1,9})?)(m|k|)$/.exec(String(value)) ?? [];
  const found = amount === '' ? Number.NaN : Number(amount) * (SUFFIXES[suffix] ?? 1);
  if (found <= MAX_WEIGHT) return found;
  context.addIssue({ code: 'custom', message: 'not a weight such as 90 or 500m' });
  return z.NEVER;
});

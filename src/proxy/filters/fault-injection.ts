import type { Random } from '../../base/backoff.ts';
import type { FaultRule } from '../../policy/faults/fault-rules.ts';
import type { Field } from '../http/fields.ts';

/** The head of a request; undefined = a raw connection. */
export type FilteredHead = { readonly fields: readonly Field[] } | undefined;

/** The rules that have not expired. @param now milliseconds since the epoch */
export function unexpired(rules: readonly FaultRule[], now: number): readonly FaultRule[] {
  return rules.every(({ until }) => now < until) ? rules : rules.filter(({ until }) => now < until);
}

/**
 * The first rule that matches a request and whose percentage the random number falls into; later rules get
 * the requests that earlier ones leave. Raw connections have no fields and cannot be answered, so only rules
 * without `headers` and `abort` match them.
 */
export function chooseFault(
  rules: readonly FaultRule[],
  head: FilteredHead,
  random: Random,
): FaultRule | undefined {
  for (const rule of rules) if (meets(rule, head) && random() * 100 < rule.percent) return rule;
  return undefined;
}

function meets({ headers, abort }: FaultRule, head: FilteredHead): boolean {
  if (head === undefined) return headers.length === 0 && abort === undefined;
  return headers.every(({ name, value }) =>
    head.fields.some((field) => field.about.text === name && field.value === value),
  );
}

import type { V1LabelSelector } from '@kubernetes/client-node';

type Operator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
const OPERATORS: readonly string[] = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

const NOTHING = 'linkspan.dev/none,!linkspan.dev/none';

interface Requirement {
  readonly key: string;
  readonly operator: Operator;
  readonly values: readonly string[];
}

/** A label selector of a Link. An empty or missing one selects nothing, never everything (linkerd2#11309). */
export class Selector {
  readonly requirements: readonly Requirement[];

  constructor(requirements: readonly Requirement[]) {
    this.requirements = requirements;
  }

  /** Whether it can select anything. */
  get empty(): boolean {
    return this.requirements.length === 0;
  }

  matches(labels: Readonly<Record<string, string>> | undefined): boolean {
    return !this.empty && this.requirements.every((requirement) => satisfies(requirement, labels ?? {}));
  }

  /**
   * The form that the API server's `labelSelector` parameter takes: `a=b,c in (x,y),!d`. To the API server an
   * empty text selects everything, so the empty selector prints a requirement that nothing can meet.
   */
  toString(): string {
    if (this.empty) return NOTHING;
    return this.requirements.map(format).join(',');
  }
}

/**
 * The fewest selector texts that together select what any of these selects: selectors that ask for values of
 * one and the same label become one (`exported in (true,remote-discovery)`), so that one watch serves both
 * and a label that changes from one to the other is no gap between two watches.
 */
export function unionOf(selectors: readonly Selector[]): string[] {
  const values = new Map<string, Set<string>>();
  const others: string[] = [];
  for (const selector of selectors) {
    const [only, ...rest] = selector.requirements;
    if (only === undefined) continue;
    if (rest.length > 0 || only.operator !== 'In') {
      others.push(selector.toString());
      continue;
    }
    const known = values.get(only.key) ?? new Set<string>();
    for (const value of only.values) known.add(value);
    values.set(only.key, known);
  }
  const merged = [...values].map(([key, set]) =>
    new Selector([{ key, operator: 'In', values: [...set].sort() }]).toString(),
  );
  return [...new Set([...merged, ...others])];
}

/**
 * Parses a LabelSelector object.
 * @throws Error with a sentence that says what is wrong; `parseLink` turns it into a problem with the field's
 * name
 */
export function parseSelector(selector: V1LabelSelector | undefined): Selector {
  // Linkerd's CRD checks nothing below matchLabels, so anything may stand there.
  const labels: unknown = selector?.matchLabels ?? {};
  const expressions: unknown = selector?.matchExpressions ?? [];
  if (!isObject(labels)) throw new Error('matchLabels is not a map of labels');
  if (!Array.isArray(expressions)) throw new Error('matchExpressions is not a list');
  const exact = Object.entries(labels).map(([key, value]): Requirement => {
    return { key: labelKey(key), operator: 'In', values: [labelValue(key, value)] };
  });
  return new Selector([...exact, ...expressions.map(parseRequirement)]);
}

function parseRequirement(expression: unknown): Requirement {
  if (!isObject(expression)) throw new Error('matchExpressions has an entry that is no requirement');
  const { operator } = expression;
  const key = labelKey(expression['key']);
  if (!isOperator(operator))
    throw new Error(`operator "${textOf(operator)}" is not one of ${OPERATORS.join(', ')}`);
  const values: unknown = expression['values'] ?? [];
  if (!Array.isArray(values)) throw new Error(`the values of "${key}" are not a list`);
  const wantsValues = operator === 'In' || operator === 'NotIn';
  if (wantsValues !== values.length > 0) {
    throw new Error(`operator ${operator} on "${key}" ${wantsValues ? 'needs' : 'takes no'} values`);
  }
  return { key, operator, values: values.map((value) => labelValue(key, value)) };
}

/**
 * Parses the form of the command line, as kubectl takes it: `a=b`, `a!=b`, `c in (x,y)`, `c notin (x)`, `d`,
 * `!d`, comma-separated.
 * @throws Error that names the part that is no requirement
 */
export function parseSelectorText(text: string): V1LabelSelector {
  const parts = splitOutside(text).map((part) => part.trim());
  const matchLabels: Record<string, string> = {};
  const matchExpressions: NonNullable<V1LabelSelector['matchExpressions']> = [];
  for (const part of parts.filter((candidate) => candidate !== '')) {
    const [, key, value = ''] = /^([^\s=!()]+)\s*==?\s*([^\s=!()]*)$/.exec(part) ?? [];
    if (key === undefined) matchExpressions.push(parseExpression(part));
    // A map holds a key once: `a=b,a=c` must go on selecting nothing instead of a=c.
    else if (Object.hasOwn(matchLabels, key)) matchExpressions.push({ key, operator: 'In', values: [value] });
    else matchLabels[key] = value;
  }
  return {
    ...(Object.keys(matchLabels).length === 0 ? {} : { matchLabels }),
    ...(matchExpressions.length === 0 ? {} : { matchExpressions }),
  };
}

/** The parts between commas that are not in parentheses. */
function splitOutside(text: string): string[] {
  const parts: string[] = [];
  let from = 0;
  let inside = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '(') inside = true;
    else if (char === ')') inside = false;
    else if (char === ',' && !inside) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
  }
  return [...parts, text.slice(from)];
}

function parseExpression(part: string): { key: string; operator: Operator; values?: string[] } {
  const set = /^([^\s=!()]+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(part);
  if (set?.[1] !== undefined) {
    const values = (set[3] ?? '').split(',').map((value) => value.trim());
    return { key: set[1], operator: set[2] === 'in' ? 'In' : 'NotIn', values };
  }
  const unequal = /^([^\s=!()]+)\s*!=\s*([^\s=!()]*)$/.exec(part);
  if (unequal?.[1] !== undefined) return { key: unequal[1], operator: 'NotIn', values: [unequal[2] ?? ''] };
  const presence = /^(!?)([^\s=!()]+)$/.exec(part);
  if (presence?.[2] === undefined)
    throw new Error(`"${part}" is not a label requirement like a=b, a!=b, a in (b,c), a or !a`);
  return { key: presence[2], operator: presence[1] === '!' ? 'DoesNotExist' : 'Exists' };
}

const TESTS: Record<Operator, (value: string | undefined, values: readonly string[]) => boolean> = {
  In: (value, values) => value !== undefined && values.includes(value),
  NotIn: (value, values) => value === undefined || !values.includes(value),
  Exists: (value) => value !== undefined,
  DoesNotExist: (value) => value === undefined,
};

const FORMATS: Record<Operator, (key: string, values: readonly string[]) => string> = {
  In: (key, values) =>
    values.length === 1 ? `${key}=${values[0] ?? ''}` : `${key} in (${values.join(',')})`,
  NotIn: (key, values) => `${key} notin (${values.join(',')})`,
  Exists: (key) => key,
  DoesNotExist: (key) => `!${key}`,
};

function satisfies(
  { key, operator, values }: Requirement,
  labels: Readonly<Record<string, string>>,
): boolean {
  return TESTS[operator](Object.hasOwn(labels, key) ? labels[key] : undefined, values);
}

function format({ key, operator, values }: Requirement): string {
  return FORMATS[operator](key, values);
}

function labelKey(key: unknown): string {
  const valid = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
  if (typeof key !== 'string' || !valid.test(key)) throw new Error(`"${textOf(key)}" is not a label key`);
  return key;
}

function labelValue(key: string, value: unknown): string {
  if (typeof value !== 'string')
    throw new Error(`the value of "${key}" is no text; put it in quotes: "${textOf(value)}"`);
  if (!/^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/.test(value))
    throw new Error(`"${value}" is not a label value`);
  return value;
}

function isOperator(value: unknown): value is Operator {
  return typeof value === 'string' && OPERATORS.includes(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

import type { V1LabelSelector } from '@kubernetes/client-node';

type Operator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
const OPERATORS: readonly string[] = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

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

  /** The form that the API server's `labelSelector` parameter takes: `a=b,c in (x,y),!d`. */
  toString(): string {
    return this.requirements.map(format).join(',');
  }
}

/**
 * Parses a LabelSelector object.
 * @throws Error with a sentence that says what is wrong; `parseLink` turns it into a problem with the field's name
 */
export function parseSelector(selector: V1LabelSelector | undefined): Selector {
  const exact = Object.entries(selector?.matchLabels ?? {}).map(([key, value]): Requirement => {
    checkKey(key);
    checkValue(value);
    return { key, operator: 'In', values: [value] };
  });
  const expressions = (selector?.matchExpressions ?? []).map(({ key, operator, values }): Requirement => {
    checkKey(key);
    if (!OPERATORS.includes(operator))
      throw new Error(`operator "${operator}" is not one of ${OPERATORS.join(', ')}`);
    const wantsValues = operator === 'In' || operator === 'NotIn';
    if (wantsValues !== (values ?? []).length > 0) {
      throw new Error(`operator ${operator} on "${key}" ${wantsValues ? 'needs' : 'takes no'} values`);
    }
    for (const value of values ?? []) checkValue(value);
    return { key, operator: operator as Operator, values: values ?? [] };
  });
  return new Selector([...exact, ...expressions]);
}

/**
 * Parses the form of the command line, as kubectl takes it: `a=b`, `a!=b`, `c in (x,y)`, `c notin (x)`, `d`, `!d`, comma-separated.
 * @throws Error that names the part that is no requirement
 */
export function parseSelectorText(text: string): V1LabelSelector {
  const parts = text.split(/,(?![^(]*\))/).map((part) => part.trim());
  const matchLabels: Record<string, string> = {};
  const matchExpressions: NonNullable<V1LabelSelector['matchExpressions']> = [];
  for (const part of parts.filter((candidate) => candidate !== '')) {
    const equal = /^([^\s=!()]+)\s*==?\s*([^\s=!()]*)$/.exec(part);
    if (equal?.[1] !== undefined) matchLabels[equal[1]] = equal[2] ?? '';
    else matchExpressions.push(parseExpression(part));
  }
  return {
    ...(Object.keys(matchLabels).length === 0 ? {} : { matchLabels }),
    ...(matchExpressions.length === 0 ? {} : { matchExpressions }),
  };
}

function parseExpression(part: string): { key: string; operator: Operator; values?: string[] } {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(part);
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

function satisfies(requirement: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[requirement.key];
  switch (requirement.operator) {
    case 'In':
      return value !== undefined && requirement.values.includes(value);
    case 'NotIn':
      return value === undefined || !requirement.values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

function format({ key, operator, values }: Requirement): string {
  switch (operator) {
    case 'In':
      return values.length === 1 ? `${key}=${values[0] ?? ''}` : `${key} in (${values.join(',')})`;
    case 'NotIn':
      return `${key} notin (${values.join(',')})`;
    case 'Exists':
      return key;
    case 'DoesNotExist':
      return `!${key}`;
  }
}

function checkKey(key: string): void {
  const valid = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/.test(
    key,
  );
  if (!valid) throw new Error(`"${key}" is not a label key`);
}

function checkValue(value: unknown): void {
  const valid = typeof value === 'string' && /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/.test(value);
  if (!valid) throw new Error(`"${String(value)}" is not a label value`);
}

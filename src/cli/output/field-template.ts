/** A part of a template: text as it is, or the fields that lead to a value. */
type Part = string | readonly string[];

const FIELD = /^(\.[A-Za-z_][A-Za-z0-9_]*)+$/;

/**
 * A template such as kubectl's `jsonpath`, as far as fields of one object go: `{.target.name} {.path}`, and
 * `{"\n"}` for text that a shell makes hard to write. Ends with the end of a line.
 * @throws RangeError that says which part it does not know
 */
export function fieldTemplate(template: string): (value: unknown) => string {
  const parts = partsOf(template);
  return (value) =>
    `${parts.map((part) => (typeof part === 'string' ? part : textOf(valueAt(value, part)))).join('')}\n`;
}

function partsOf(template: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  while (at < template.length) {
    const open = template.indexOf('{', at);
    if (open < 0) return [...parts, template.slice(at)];
    const close = template.indexOf('}', open);
    if (close < 0) throw new RangeError(`"${template.slice(open)}" has no end`);
    parts.push(template.slice(at, open), partOf(template.slice(open + 1, close)));
    at = close + 1;
  }
  return parts;
}

function partOf(text: string): Part {
  if (FIELD.test(text)) return text.slice(1).split('.');
  if (!text.startsWith('"')) throw new RangeError(`"{${text}}" is no field such as {.target.name}`);
  try {
    return String(JSON.parse(text));
  } catch {
    throw new RangeError(`"{${text}}" is no text such as {"\\n"}`);
  }
}

function valueAt(value: unknown, [name, ...rest]: readonly string[]): unknown {
  if (name === undefined) return value;
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return valueAt((value as Record<string, unknown>)[name], rest);
}

function textOf(value: unknown): string {
  if (value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

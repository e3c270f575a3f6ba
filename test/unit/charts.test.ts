import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { isMap, parseDocument, type YAMLMap } from 'yaml';
import { CHARTS } from '../support/chart.ts';

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: unknown;
  readonly $ref?: string;
}

const read = (name: string) => readFileSync(path.join(CHARTS, 'linkspan', name), 'utf8');
const schema = JSON.parse(read('values.schema.json')) as Schema & { readonly $defs: Record<string, Schema> };

/** Keys whose meaning is that of Kubernetes, or of the key above them. */
const PLAIN = new Set([
  'requests',
  'limits',
  'cpu',
  'memory',
  'minReplicas',
  'maxReplicas',
  'name',
  'kind',
  'group',
]);

/**
 * What people set is what they can read about: values.yaml is the reference, the schema what refuses a slip.
 */
describe('values.yaml of the chart', () => {
  const values = parseDocument(read('values.yaml')).contents;
  const keys: string[] = [];
  const uncommented: string[] = [];
  if (isMap(values))
    walk(values, '', (key, commented) => (keys.push(key), commented || uncommented.push(key)));

  it('says of every value what it is', () => {
    expect(keys).to.have.lengthOf.above(80);
    expect(uncommented).to.deep.equal([]);
  });

  it('has every value in the schema, which knows no others', () => {
    for (const key of keys) expect(schemaOf(key), key).not.to.equal(undefined);
    const known: string[] = [];
    listKeys(schema, '', known);
    expect(known.filter((key) => !keys.includes(key) && !key.startsWith('global'))).to.deep.equal([]);
  });
});

function walk(
  map: YAMLMap,
  prefix: string,
  visit: (key: string, commented: boolean) => unknown,
  before = false,
): void {
  for (const [index, { key, value }] of map.items.entries()) {
    const scalar = key as { readonly value: string; readonly commentBefore?: string };
    // The comment of a map's first key is that of the map in this parser.
    const comment = scalar.commentBefore ?? (index === 0 ? map.commentBefore : undefined);
    const name = prefix + scalar.value;
    const nested = isMap(value) && value.items.length > 0;
    const says = comment?.includes('--') === true || PLAIN.has(scalar.value) || (before && index === 0);
    visit(name, says || nested);
    if (nested) walk(value as YAMLMap, `${name}.`, visit);
  }
}

function schemaOf(key: string): Schema | undefined {
  let at: Schema | undefined = schema;
  for (const part of key.split('.')) {
    at = resolved(at);
    if (at?.properties === undefined) return at;
    at = at.properties[part];
  }
  return at;
}

function resolved(one: Schema | undefined): Schema | undefined {
  return one?.$ref === undefined ? one : schema.$defs[one.$ref.replace('#/$defs/', '')];
}

function listKeys(one: Schema, prefix: string, into: string[]): void {
  for (const [key, value] of Object.entries(one.properties ?? {})) {
    if (prefix.endsWith('resources.')) continue;
    into.push(prefix + key);
    const below = resolved(value);
    if (below !== undefined) listKeys(below, `${prefix}${key}.`, into);
  }
}

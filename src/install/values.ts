import { createdBy, installedLabels } from '../api/installed-labels.ts';
import type { V1Secret } from '@kubernetes/client-node';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { LinkspanError, messageOf } from '../api/errors/linkspan-error.ts';
import { parseYaml } from '../base/yaml.ts';
import { CHART } from './charts.ts';
import type { Helm } from './helm.ts';

/** Values of a chart. */
export type Values = Readonly<Record<string, unknown>>;

/** helm's own flags for values. */
export interface HelmValueFlags {
  /** `-f`: files or URLs, `-` is the standard input. */
  readonly files: readonly string[];
  readonly set: readonly string[];
  readonly setString: readonly string[];
  readonly setFile: readonly string[];
}

/** Name of the Secret that keeps the values of the last install, and its key. */
export const OVERRIDES_SECRET = 'linkspan-config-overrides';
const OVERRIDES_KEY = 'values.yaml';

/** Merges values as helm does: maps are merged, everything else (lists, null) replaces. */
export function joinValues(below: Values, above: Values): Values {
  const joined: Record<string, unknown> = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const old = joined[key];
    joined[key] = isMap(value) && isMap(old) ? joinValues(old, value) : value;
  }
  return joined;
}

/** A value by its dotted key. */
export function valueAt(values: Values, key: string): unknown {
  return key.split('.').reduce<unknown>((at, part) => (isMap(at) ? at[part] : undefined), values);
}

/** The values without one key, and without maps that become empty. */
export function withoutValue(values: Values, key: string): Values {
  const [first = '', ...rest] = key.split('.');
  const { [first]: value, ...others } = values;
  if (rest.length === 0 || !isMap(value)) return rest.length === 0 ? others : values;
  const left = withoutValue(value, rest.join('.'));
  return Object.keys(left).length === 0 ? others : { ...values, [first]: left };
}

/** Dotted keys of all leaves (everything that is not a map). */
export function keysOf(values: Values, prefix = ''): string[] {
  return Object.entries(values).flatMap(([key, value]) =>
    isMap(value) && Object.keys(value).length > 0 ? keysOf(value, `${prefix}${key}.`) : [`${prefix}${key}`],
  );
}

/** Dotted keys whose values differ. */
export function differences(a: Values, b: Values): string[] {
  const keys = new Set([...keysOf(a), ...keysOf(b)]);
  return [...keys].filter((key) => stringify(valueAt(a, key)) !== stringify(valueAt(b, key))).toSorted();
}

function isMap(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * `base` overridden by helm's value flags. helm parses them itself, by rendering a chart that prints its
 * values, so that `--set a.b[1]=c\,d` means what it means to helm.
 * @throws LinkspanError VALUES_INVALID, HELM_MISSING
 */
export async function gatherValues(helm: Helm, base: Values, flags: HelmValueFlags): Promise<Values> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'linkspan-values-'));
  try {
    await mkdir(path.join(dir, 'templates'));
    await writeFile(path.join(dir, 'Chart.yaml'), 'apiVersion: v2\nname: values\nversion: 0.0.0\n');
    await writeFile(path.join(dir, 'templates/values.yaml'), 'values: {{ toJson .Values }}\n');
    await writeFile(path.join(dir, 'base.yaml'), stringify(base), { mode: 0o600 });
    const many = (flag: string, texts: readonly string[]) => texts.flatMap((item) => [flag, item]);
    const printed = await helm.run([
      'template',
      'values',
      dir,
      ...many('-f', [path.join(dir, 'base.yaml'), ...flags.files]),
      ...many('--set', flags.set),
      ...many('--set-string', flags.setString),
      ...many('--set-file', flags.setFile),
    ]);
    const { values } = parseYaml(printed) as { values: Values };
    return values;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** The chart's own values for high availability. */
export async function haValues(): Promise<Values> {
  return parseYaml(await readFile(path.join(CHART, 'values-ha.yaml'), 'utf8')) as Values;
}

/** The chart's defaults. */
export async function defaultValues(): Promise<Values> {
  return parseYaml(await readFile(path.join(CHART, 'values.yaml'), 'utf8')) as Values;
}

/** The Secret with the values that `upgrade` reads; not a ConfigMap, because values may be confidential. */
export function overridesSecret(values: Values, namespace: string, version: string): V1Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'Opaque',
    metadata: {
      name: OVERRIDES_SECRET,
      namespace,
      labels: installedLabels(version),
      annotations: createdBy(version),
    },
    data: { [OVERRIDES_KEY]: Buffer.from(stringify(values)).toString('base64') },
  };
}

/** @throws LinkspanError VALUES_INVALID when it holds no values */
export function storedValues({ metadata, data }: V1Secret): Values {
  const where = `Secret ${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
  const text = data?.[OVERRIDES_KEY];
  if (text === undefined) throw new LinkspanError('VALUES_INVALID', `${where}: no key ${OVERRIDES_KEY}`);
  try {
    const values = parseYaml(Buffer.from(text, 'base64').toString('utf8'));
    if (isMap(values)) return values;
  } catch (error) {
    throw new LinkspanError('VALUES_INVALID', `${where}: ${messageOf(error)}`, { cause: error });
  }
  throw new LinkspanError('VALUES_INVALID', `${where}: ${OVERRIDES_KEY} is not a map of values`);
}

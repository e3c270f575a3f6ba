import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { parseYaml } from '../../base/yaml.ts';
import type { z } from 'zod';
import { nearest, parseConfig } from '../../base/config.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';

/**
 * Environment variables that Kubernetes sets in every pod for the Services of its namespace; those of a
 * Service that is named like our prefix are not settings.
 */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT|PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)$/;
/** Part of such variables for named ports. */
const NAMED_PORT_LINK = '_SERVICE_PORT_';

interface Layered {
  readonly values: Record<string, unknown>;
  /** The name of each setting in the layer that its value came from, for messages. */
  readonly names: Map<string, string>;
}

/**
 * The settings of a verb from, in this order of precedence: its flags, the environment (`<prefix><FLAG>`, as
 * in `LINKSPAN_GATEWAY_LOG_LEVEL` for `--log-level`), the YAML file of `--config` (keys as in the schema:
 * `logLevel`), the flags' defaults. Unknown keys are refused, naming the nearest.
 * @param flags what commander parsed, defaults included
 * @throws LinkspanError CONFIG_INVALID, CONFIG_UNREADABLE
 */
export function layeredSettings<S extends z.ZodType>(
  schema: S,
  command: Command,
  env: NodeJS.ProcessEnv,
  prefix: string,
): z.output<S> {
  const fromEnv = environment(command, env, prefix);
  const typed = flags(command, 'cli');
  const file = typed.values['config'] ?? fromEnv.values['config'];
  const layers = [
    flags(command, 'default'),
    ...(typeof file === 'string' ? [settingsFile(file, command)] : []),
    fromEnv,
    typed,
  ];
  const values: Record<string, unknown> = Object.assign({}, ...layers.map((layer) => layer.values));
  const names = new Map(layers.flatMap((layer) => [...layer.names]));
  delete values['config'];
  return parseConfig(schema, values, command.name(), (path) => {
    const key = String(path[0]);
    return names.get(key) ?? command.options.find((option) => option.attributeName() === key)?.long ?? key;
  });
}

function isServiceLink(name: string): boolean {
  return SERVICE_LINK.test(name) || name.includes(NAMED_PORT_LINK);
}

function flags(command: Command, source: 'cli' | 'default'): Layered {
  const values: Record<string, unknown> = {};
  const names = new Map<string, string>();
  for (const option of command.options) {
    const key = option.attributeName();
    const value: unknown = command.getOptionValue(key);
    if (value === undefined || command.getOptionValueSource(key) !== source) continue;
    values[key] = value;
    names.set(key, option.long ?? key);
  }
  return { values, names };
}

function environment(command: Command, env: NodeJS.ProcessEnv, prefix: string): Layered {
  const byName = new Map(
    command.options.map((option) => [prefix + variableName(option.attributeName()), option]),
  );
  const values: Record<string, unknown> = {};
  const names = new Map<string, string>();
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(prefix) || text === undefined) continue;
    const option = byName.get(name);
    if (option === undefined && isServiceLink(name)) continue;
    if (option === undefined) {
      const near = nearest(name, [...byName.keys()]);
      const hint = near === undefined ? '' : ` (did you mean ${near}?)`;
      throw new LinkspanError('CONFIG_INVALID', `environment: unknown setting ${name}${hint}`);
    }
    const key = option.attributeName();
    // Lists are separated by semicolons, because selectors contain commas.
    if (option.variadic) values[key] = text.split(';').map((part) => part.trim());
    else values[key] = option.isBoolean() ? truth(text, name) : text;
    names.set(key, name);
  }
  return { values, names };
}

function truth(text: string, name: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  throw new LinkspanError('CONFIG_INVALID', `environment: ${name}: "${text}" is neither true nor false`);
}

/** Name of a variable without prefix: `logLevel` is `LOG_LEVEL`. */
function variableName(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

function settingsFile(file: string, command: Command): Layered {
  const values = readSettings(file);
  const known = command.options.map((option) => option.attributeName()).filter((key) => key !== 'config');
  for (const key of Object.keys(values)) {
    if (known.includes(key)) continue;
    const near = nearest(key, known);
    const hint = near === undefined ? '' : ` (did you mean "${near}"?)`;
    throw new LinkspanError('CONFIG_INVALID', `${file}: unknown setting "${key}"${hint}`);
  }
  const texts = Object.entries(values).map(([key, value]) => {
    const option = command.options.find((option) => option.attributeName() === key);
    // Schemas parse text as flags have it, but YAML has numbers too.
    if (option?.variadic === true) return [key, Array.isArray(value) ? value : [value]] as const;
    return [key, typeof value === 'number' ? String(value) : value] as const;
  });
  const names = new Map(Object.keys(values).map((key) => [key, `${key} in ${file}`]));
  return { values: Object.fromEntries(texts), names };
}

function readSettings(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new LinkspanError('CONFIG_UNREADABLE', `--config: ${messageOf(error)}`, { cause: error });
  }
  try {
    const value = parseYaml(text);
    if (value === null) return {};
    if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    throw new LinkspanError('CONFIG_INVALID', `${file}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  throw new LinkspanError('CONFIG_INVALID', `${file}: is not a list of settings (key: value)`);
}

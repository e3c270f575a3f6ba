import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import type { Attributes } from './span.ts';

/** Where spans are sent, and how. */
export interface OtlpSettings {
  /** The whole address: `https://collector:4318/v1/traces`. */
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** For a whole request, milliseconds. */
  readonly timeoutMs: number;
  readonly gzip: boolean;
  /** How long a batch that is not full waits, milliseconds. */
  readonly delayMs: number;
  /** PEM files: whom to trust in place of the system's authorities, and who we are. */
  readonly files: Readonly<Record<'ca' | 'cert' | 'key', string | undefined>>;
}

type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = 'OTEL_EXPORTER_OTLP_';
/** Defaults of OpenTelemetry's specification, milliseconds. */
const TIMEOUT_MS = 10_000;
const DELAY_MS = 5000;
const DELAY = 'OTEL_BSP_SCHEDULE_DELAY';
const PATH = 'v1/traces';
/** A token of RFC 9110, as names of fields are. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** What Node takes as the value of a field. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * The settings of the exporter, by OpenTelemetry's environment variables (`OTEL_EXPORTER_OTLP_…`, those with
 * `TRACES_` first, and `OTEL_BSP_SCHEDULE_DELAY`).
 * @param endpoint base address that goes before those of the environment
 * @returns undefined: nothing says where to send spans, or `OTEL_SDK_DISABLED` is true
 * @throws LinkspanError CONFIG_INVALID
 */
export function otlpSettings(endpoint: string | undefined, env: Environment): OtlpSettings | undefined {
  const said = (name: string) => nonEmpty(env[`${PREFIX}TRACES_${name}`]) ?? nonEmpty(env[PREFIX + name]);
  const url = urlOf(endpoint, env);
  if (url === undefined || env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return undefined;
  assertProtocol(said('PROTOCOL'));
  return {
    url,
    headers: pairsOf('HEADERS', said('HEADERS') ?? ''),
    timeoutMs: millisecondsOf(`${PREFIX}TIMEOUT`, said('TIMEOUT') ?? String(TIMEOUT_MS)),
    delayMs: millisecondsOf(DELAY, nonEmpty(env[DELAY]) ?? String(DELAY_MS)),
    gzip: isZipped(said('COMPRESSION')),
    files: { ca: said('CERTIFICATE'), cert: said('CLIENT_CERTIFICATE'), key: said('CLIENT_KEY') },
  };
}

function assertProtocol(protocol = 'http/protobuf'): void {
  if (protocol !== 'http/protobuf')
    throw invalid('PROTOCOL', `"${protocol}" is not spoken, only http/protobuf (port 4318 of a collector)`);
}

function isZipped(compression = 'none'): boolean {
  if (compression === 'none' || compression === 'gzip') return compression === 'gzip';
  throw invalid('COMPRESSION', `"${compression}" is neither none nor gzip`);
}

function millisecondsOf(name: string, text: string): number {
  if (/^\d{1,7}$/.test(text) && Number(text) > 0) return Number(text);
  throw new LinkspanError('CONFIG_INVALID', `${name}: "${text}" is not a number of milliseconds`);
}

/**
 * What the environment says of the process whose spans these are (`OTEL_RESOURCE_ATTRIBUTES`,
 * `OTEL_SERVICE_NAME`).
 * @throws LinkspanError CONFIG_INVALID
 */
export function resourceAttributes(env: Environment): Attributes {
  const service = nonEmpty(env['OTEL_SERVICE_NAME']);
  const attributes = keyValues(env['OTEL_RESOURCE_ATTRIBUTES'] ?? '');
  if (attributes === undefined)
    throw new LinkspanError('CONFIG_INVALID', 'OTEL_RESOURCE_ATTRIBUTES is not a list of key=value');
  // The chart names what the cluster may leave unsaid.
  const known = Object.entries(attributes).filter(([, value]) => value !== '');
  return { ...Object.fromEntries(known), ...(service === undefined ? {} : { 'service.name': service }) };
}

function urlOf(endpoint: string | undefined, env: Environment): URL | undefined {
  const whole = nonEmpty(env[`${PREFIX}TRACES_ENDPOINT`]);
  if (endpoint === undefined && whole !== undefined) return httpUrl('TRACES_ENDPOINT', whole);
  const base = endpoint ?? nonEmpty(env[`${PREFIX}ENDPOINT`]);
  if (base === undefined) return undefined;
  const url = httpUrl('ENDPOINT', base);
  url.pathname = `${url.pathname.replace(/\/$/, '')}/${PATH}`;
  return url;
}

function httpUrl(name: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw invalid(name, 'it is no http or https address, such as http://collector.observability:4318');
  return url;
}

function pairsOf(name: string, text: string): Record<string, string> {
  const pairs = keyValues(text);
  const isField = ([key, value]: [string, string]) => TOKEN.test(key) && VALUE.test(value);
  // Its values are secrets, so that the message must not have them.
  if (pairs === undefined || !Object.entries(pairs).every(isField))
    throw invalid(name, 'it is not a list of field=value, separated by commas');
  return pairs;
}

/** `a=b,c=d`, percent-encoded; undefined: it is none. */
function keyValues(text: string): Record<string, string> | undefined {
  const pairs: Record<string, string> = {};
  for (const part of text.split(',')) {
    if (part.trim() === '') continue;
    const at = part.indexOf('=');
    if (at < 1) return undefined;
    const value = decoded(part.slice(at + 1).trim());
    if (value === undefined) return undefined;
    pairs[part.slice(0, at).trim()] = value;
  }
  return pairs;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text.trim() === '' ? undefined : text.trim();
}

function invalid(name: string, why: string): LinkspanError {
  return new LinkspanError('CONFIG_INVALID', `${PREFIX}${name} (or --trace-endpoint): ${why}`);
}

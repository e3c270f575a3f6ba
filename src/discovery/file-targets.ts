import { isIP } from 'node:net';
import path from 'node:path';
import { type Document, isMap, isNode, isScalar, type LineCounter, type Node } from 'yaml';
import { z } from 'zod';
import { parseAddress } from '../base/address.ts';
import { plainName } from '../base/dns-name.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { parseConfig } from '../base/config.ts';
import { describeError, LinkspanError, messageOf } from '../api/errors/linkspan-error.ts';
import { type FileSnapshot, type WatchedFiles, watchFiles } from '../base/file-watch.ts';
import { DEFAULT_CLUSTER_DOMAIN } from '../api/names.ts';
import type { TargetEndpoint } from '../exports/target-endpoint.ts';
import type { EffectivePolicy, PolicyPart } from '../policy/effective-policy.ts';
import type { Rate, RateLimits } from '../policy/rate-limits/rate-limits.ts';
import { yamlDocument, yamlValue } from '../base/yaml.ts';
import type { Health } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';
import { faultRules } from '../policy/faults/fault-rules.ts';
import { parseRate, RATE_FORM, rateLimits } from '../policy/rate-limits/rate-limit-annotations.ts';
import { portProtocol } from '../api/ports/port-protocol.ts';
import { targetKey } from '../api/ports/target-key.ts';
import { readRequestKeys, requestKeys } from '../policy/requests/request-keys.ts';
import type { TargetSource, TargetSpec } from './target-spec.ts';
import { TargetTable } from './target-table.ts';

const DNS_LABELS = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

function isDnsName(text: string): boolean {
  return text.length <= 253 && DNS_LABELS.test(text);
}

const dnsName = z.string().transform(plainName).refine(isDnsName, 'not a DNS name');

const endpoint = z.string().transform((text, context): TargetEndpoint => {
  try {
    const { host, port } = parseAddress(text, 'endpoint');
    if (port > 0 && !text.startsWith(':') && (isIP(host) !== 0 || isDnsName(host.toLowerCase()))) {
      return { host, port, ready: true };
    }
  } catch {
    // The error is added below, with the path of the entry.
  }
  context.addIssue({ code: 'custom', message: `"${text}" is not an address of the form host:port` });
  return z.NEVER;
});

/**
 * `*`, `*.rest`, a DNS-like identity or a URI: what `matchesIdentity` of
 * src/identity/x509/peer-certificate.ts takes.
 */
const identityPattern = z
  .string()
  .refine(
    (text) => /^[a-z][a-z0-9+.-]*:\/\/\S+$/i.test(text) || text === '*' || isDnsName(bareName(text)),
    'not an identity, "*" or "*." with the end of an identity',
  );

function bareName(pattern: string): string {
  return pattern.toLowerCase().replace(/^\*\./, '');
}

const rate = z.string().transform((text, context): Rate => {
  const parsed = parseRate(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: `"${text}" is not ${RATE_FORM}` });
  return z.NEVER;
});

/** The annotations `linkspan.dev/rate-limit…`, as keys. */
const limitsOfFile = z.strictObject({
  total: rate.optional(),
  perClient: rate.optional(),
  clients: z.record(identityPattern, rate).default({}),
});

/** The file of `linkspan gateway --targets`. @param now milliseconds since the epoch */
const targetsFile = (now: number) =>
  z.strictObject({
    /** Completes names that end in `.svc`. */
    clusterDomain: dnsName.default(DEFAULT_CLUSTER_DOMAIN),
    services: z.array(
      z.strictObject({
        name: dnsName,
        port: z.int().min(1).max(65_535),
        endpoints: z.array(endpoint),
        protocol: z.enum(['http1', 'http2', 'opaque']).optional(),
        allow: z.array(identityPattern).optional(),
        rateLimit: limitsOfFile.optional(),
        faults: faultRules(now).optional(),
        ...requestKeys,
      }),
    ),
  });

/**
 * The targets in a YAML text, in its order.
 * @param file its path, for the message
 * @param now for the ends of faults, milliseconds since the epoch
 * @throws LinkspanError TARGETS_INVALID with file and line
 */
export function parseTargets(text: string, file: string, now = systemClock.now()): TargetSpec[] {
  const { document, lines } = readDocument(text, file);
  const broken = document.errors[0];
  if (broken !== undefined) throw invalid(`${file}:${lines.linePos(broken.pos[0]).line}: ${broken.message}`);
  const value = toValue(document, file);
  const parsed = checked(targetsFile(now), value, (at) => `${file}:${lineOf(document, lines, at)}`);
  const targets: TargetSpec[] = [];
  const seen = new Set<string>();
  for (const [index, service] of parsed.services.entries()) {
    const { requests, problems } = readRequestKeys(service);
    const [problem] = problems;
    if (problem !== undefined) {
      const key = problem.slice(0, problem.indexOf(':')).split('.');
      throw invalid(`${file}:${lineOf(document, lines, ['services', index, ...key])}: ${problem}`);
    }
    const target = toTarget(service, parsed.clusterDomain, requests);
    const key = targetKey(target.name, target.port);
    if (seen.has(key)) {
      const where = `${file}:${lineOf(document, lines, ['services', index])}`;
      throw invalid(`${where}: ${target.name} port ${target.port} is there a second time`);
    }
    seen.add(key);
    targets.push(target);
  }
  return targets;
}

type TargetsSchema = ReturnType<typeof targetsFile>;
type TargetsFile = z.output<TargetsSchema>;

function checked(
  schema: TargetsSchema,
  value: unknown,
  whereOf: (path: readonly PropertyKey[]) => string,
): TargetsFile {
  const first = schema.safeParse(value).error?.issues[0];
  const key = first?.code === 'unrecognized_keys' ? first.keys.slice(0, 1) : [];
  try {
    return parseConfig(schema, value, whereOf([...(first?.path ?? []), ...key]));
  } catch (error) {
    throw invalid(messageOf(error));
  }
}

function toValue(document: Document, file: string): unknown {
  try {
    return yamlValue(document);
  } catch (error) {
    // Too many aliases, or keys that are lists.
    throw invalid(`${file}: ${messageOf(error)}`);
  }
}

function toTarget(
  service: TargetsFile['services'][number],
  clusterDomain: string,
  requests: EffectivePolicy['requests'],
): TargetSpec {
  const { allow, rateLimit, faults } = service;
  const protocol = portProtocol({ port: service.port, said: service.protocol });
  const name = service.name.endsWith('.svc') ? `${service.name}.${clusterDomain}` : service.name;
  // Every subject stands here, also one that the file has no keys for.
  const policy: { readonly [P in PolicyPart]: EffectivePolicy[P] | undefined } = {
    accrual: undefined,
    limits: rateLimit && [toLimits(targetKey(name, service.port), rateLimit)],
    faults: faults === undefined || faults.length === 0 ? undefined : faults,
    requests,
  };
  const said = Object.entries(policy).filter(([, value]) => value !== undefined);
  return {
    name,
    port: service.port,
    endpoints: service.endpoints,
    ...(protocol === undefined ? {} : { protocol }),
    ...(allow === undefined ? {} : { allow }),
    ...(Object.fromEntries(said) as EffectivePolicy),
  };
}

function toLimits(key: string, { total, perClient, clients }: z.output<typeof limitsOfFile>): RateLimits {
  const overrides = Object.entries(clients).map(([client, of]) => ({ clients: [client], rate: of }));
  return rateLimits(key, `file/target/${key}`, { total, perClient, overrides });
}

function invalid(message: string): LinkspanError {
  return new LinkspanError('TARGETS_INVALID', message);
}

/** Line of the entry at path `at`, or of the nearest enclosing one that exists. */
function lineOf(document: Document, lines: LineCounter, at: readonly PropertyKey[]): number {
  for (let length = at.length; length >= 0; length--) {
    const node = nodeAt(document, at.slice(0, length));
    if (node?.range !== undefined && node.range !== null) return lines.linePos(node.range[0]).line;
  }
  return 1;
}

/** For an entry of a map the key's node, because a value may begin on a later line. */
function nodeAt(document: Document, at: readonly PropertyKey[]): Node | undefined {
  const last = at.at(-1);
  const parent = at.length === 0 ? undefined : document.getIn(at.slice(0, -1), true);
  if (isMap(parent)) {
    const pair = parent.items.find((item) => isScalar(item.key) && item.key.value === last);
    return isNode(pair?.key) ? pair.key : undefined;
  }
  const node = document.getIn(at, true);
  return isNode(node) ? node : undefined;
}

export interface FileTargetsOptions {
  readonly file: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether the file may inject faults; default false. */
  readonly faultInjection?: boolean;
}

/**
 * Targets from a watched YAML file, for a gateway without Kubernetes. A file that breaks while it is in use
 * leaves the last good targets in place, with one coded line in the log.
 * @throws LinkspanError TARGETS_INVALID when the file is not good at the start
 */
export async function openFileTargets(options: FileTargetsOptions): Promise<TargetSource> {
  const source = new FileTargets(options);
  await source.begin();
  return source;
}

class FileTargets implements TargetSource {
  readonly #options: FileTargetsOptions;
  readonly #table = new TargetTable();
  #files: WatchedFiles | undefined;
  #keys: string[] = [];
  #refused: LinkspanError | undefined;

  constructor(options: FileTargetsOptions) {
    this.#options = options;
  }

  async begin(): Promise<void> {
    const { file, clock } = this.#options;
    const full = path.resolve(file);
    this.#files = await watchFiles({
      directory: path.dirname(full),
      names: [path.basename(full)],
      clock,
      onChange: (files) => this.#reload(files),
    });
    try {
      this.#take(this.#files.current);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  get(name: string, port: number): TargetSpec | undefined {
    return this.#table.get(name, port);
  }

  keys(): Iterable<string> {
    return this.#table.keys();
  }

  subscribe(listener: (key: string) => void): () => void {
    return this.#table.subscribe(listener);
  }

  get ready(): Health {
    const reason =
      this.#refused === undefined
        ? ''
        : `the last good targets are in use; the new ones were refused: ${describeError(this.#refused)}`;
    return { ok: true, reason };
  }

  async close(): Promise<void> {
    await this.#files?.close();
    this.#table.clear();
  }

  #reload(files: readonly FileSnapshot[]): void {
    try {
      this.#take(files);
      this.#refused = undefined;
      this.#options.log.info({ file: this.#options.file, targets: this.#table.size }, 'targets loaded');
    } catch (error) {
      if (!(error instanceof LinkspanError)) throw error;
      this.#refused = error;
      this.#options.log.error({ err: error, targets: this.#table.size }, 'targets refused');
    }
  }

  #take([snapshot]: readonly FileSnapshot[]): void {
    const { file } = this.#options;
    if (snapshot?.text === undefined) {
      const what = snapshot?.error?.code === 'ENOENT' ? 'there is no such file' : 'it cannot be read';
      throw new LinkspanError('TARGETS_INVALID', `${file}: ${what}`, { cause: snapshot?.error });
    }
    const parsed = parseTargets(snapshot.text, file, this.#options.clock.now());
    this.#keys = this.#table.replace(this.#keys, this.#allowed(parsed));
  }

  #allowed(targets: readonly TargetSpec[]): readonly TargetSpec[] {
    const { file, log, faultInjection = false } = this.#options;
    if (faultInjection || targets.every(({ faults }) => faults === undefined)) return targets;
    log.warn({ file }, 'faults have no effect: the gateway was started without --allow-fault-injection');
    return targets.map((target) => {
      const { faults, ...rest } = target;
      return faults === undefined ? target : rest;
    });
  }
}

function readDocument(text: string, file: string): ReturnType<typeof yamlDocument> {
  try {
    return yamlDocument(text);
  } catch (error) {
    throw invalid(`${file}: ${messageOf(error)}`);
  }
}

import { z } from 'zod';
import { FEW_VALUES, nearest, firstProblem } from '../../base/config.ts';
import { withoutFinalDot } from '../../base/dns-name.ts';
import { IpRanges, neverRemote } from '../../base/ip-ranges.ts';
import {
  IMPORT_ANNOTATIONS,
  IMPORT_CONTROL_PREFIX,
  IMPORT_GATEWAY_CIDRS,
  IMPORT_GATEWAYS,
  IMPORT_LABELS,
  IMPORT_NAMES,
  IMPORT_NAMESPACES,
  IMPORT_POD_CIDRS,
  IMPORT_QUOTAS,
} from '../names.ts';
import { listItems } from '../../base/text.ts';

/**
 * What a source cluster takes from the target of one Link: the annotations `linkspan.dev/import-*` of the
 * Link (ADR 0027). Without any: the defaults.
 */
export interface ImportPolicy {
  /** Namespaces that mirrors may be made in; undefined: all but the protected ones. */
  readonly namespaces: NamePatterns | undefined;
  /** Services that are taken, by name or `namespace/name`; undefined: all. */
  readonly names: NamePatterns | undefined;
  /** Which labels and annotations are copied; undefined: what the controller's settings say. */
  readonly label: ((key: string) => boolean) | undefined;
  readonly annotation: ((key: string) => boolean) | undefined;
  /** Where the target's pods are; undefined: anywhere but where no other cluster's pods can be. */
  readonly podCidrs: IpRanges | undefined;
  /**
   * Where gateway addresses may lie although they are in a range of the source's own (a tunnel's Service),
   * for host names too.
   */
  readonly gatewayCidrs: IpRanges;
  /** Gateways beside the Link's own that exports may name by annotation. */
  readonly gateways: readonly AllowedGateway[];
  readonly quotas: ImportQuotas;
}

/** How much one Link may bring into the source cluster. */
export interface ImportQuotas {
  /** Mirror Services, endpoint mirrors of headless ones and memberships in federated Services. */
  readonly mirrors: number;
  /** Ports of the egress that its relay mirrors and memberships listen on. */
  readonly egressPorts: number;
  /** Namespaces that are made for it (`--create-namespaces`). */
  readonly namespaces: number;
  /** Bytes of labels and annotations (keys and values) that are copied, over all its mirrors. */
  readonly metadataBytes: number;
}

/** The default: 10,000 Services fit, and half of the egress' 20,000 ports stay for other Links. */
export const DEFAULT_QUOTAS: ImportQuotas = {
  mirrors: 20_000,
  egressPorts: 10_000,
  namespaces: 100,
  metadataBytes: 32 * 1024 * 1024,
};

/** A gateway that exports may name by annotation, as the source's admin has it. */
export interface AllowedGateway {
  /** IP addresses and host names. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** TLS identity that it must prove. */
  readonly identity: string;
  /** Port of its probes; undefined: that of the Link's probe. */
  readonly probePort?: number | undefined;
}

/** One thing that is wrong with a policy: the annotation, and a sentence. */
export interface PolicyProblem {
  readonly annotation: string;
  readonly problem: string;
}

/** Longest value of one of these annotations, characters: they are read with each change of the Link. */
const MAX_TEXT = 4096;
/** The list of gateways is the one that may be long. */
const MAX_GATEWAYS_TEXT = 32_768;

/**
 * Names with `*` for any characters; matched by index, so that no pattern costs more than its length times
 * the name's.
 */
export class NamePatterns {
  readonly #exact: ReadonlySet<string>;
  readonly #patterns: readonly string[];

  constructor(texts: readonly string[]) {
    this.#exact = new Set(texts.filter((text) => !text.includes('*')));
    this.#patterns = texts.filter((text) => text.includes('*'));
  }

  /** Whether a name stands in the list itself, without a `*`. */
  names(name: string): boolean {
    return this.#exact.has(name);
  }

  matches(name: string): boolean {
    return this.#exact.has(name) || this.#patterns.some((pattern) => matchesPattern(pattern, name));
  }
}

/**
 * `*` matches any characters, also none. Greedy with one point of return: quadratic at worst, in lengths that
 * Kubernetes bounds.
 */
function matchesPattern(pattern: string, name: string): boolean {
  let at = 0;
  let star = -1;
  let resume = 0;
  let i = 0;
  while (i < name.length) {
    if (pattern[at] === '*') {
      star = at++;
      resume = i;
    } else if (at < pattern.length && pattern[at] === name[i]) {
      at++;
      i++;
    } else if (star >= 0) {
      at = star + 1;
      i = ++resume;
    } else return false;
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

const NAME_PATTERN = /^[a-z0-9*]([-a-z0-9.*]{0,251}[a-z0-9*])?$/;

function patterns(text: string, slash: boolean): NamePatterns {
  const found = listItems(text);
  const bad = found.find((item) => {
    const parts = item.split('/');
    return parts.length > (slash ? 2 : 1) || !parts.every((part) => NAME_PATTERN.test(part));
  });
  if (bad !== undefined) throw new RangeError(`"${bad}" is no name, nor one with * in it`);
  return new NamePatterns(found);
}

function quotas(text: string): ImportQuotas {
  const found: Record<string, number> = { ...DEFAULT_QUOTAS };
  for (const item of listItems(text)) {
    const equals = item.indexOf('=');
    const name = item.slice(0, Math.max(0, equals));
    const key = QUOTA_KEYS[name];
    if (key === undefined) {
      const near = nearest(name === '' ? item : name, Object.keys(QUOTA_KEYS));
      throw new RangeError(
        `"${item}" sets no quota, which are ${Object.keys(QUOTA_KEYS).join(', ')}${near === undefined ? '' : ` (did you mean "${near}"?)`}`,
      );
    }
    const value = item.slice(equals + 1);
    if (!/^\d{1,12}$/.test(value)) throw new RangeError(`"${item}": "${value}" is no whole number`);
    found[key] = Number(value);
  }
  return found as unknown as ImportQuotas;
}

/** The names of quotas in the annotation. */
export const QUOTA_KEYS: Readonly<Record<string, keyof ImportQuotas>> = {
  mirrors: 'mirrors',
  'egress-ports': 'egressPorts',
  namespaces: 'namespaces',
  'metadata-bytes': 'metadataBytes',
};

const port = z.number().int().min(1).max(65_535);
const gatewaySchema = z.strictObject({
  /** Text for people; it is not compared. */
  name: z.string().optional(),
  addresses: z
    .array(
      z.string().refine((address) => isHost(address), {
        error: 'holds what is neither a host name nor an address that another cluster can have',
      }),
    )
    .min(1),
  port,
  identity: z.string().min(1),
  probePort: port.optional(),
});

/**
 * A host name, or an address that another cluster can have. What looks like an address to resolvers alone
 * (`127.1`, `2130706433`) is neither.
 */
export function isHost(text: string): boolean {
  if (neverRemote(text) === undefined) return true;
  return isHostName(text);
}

/**
 * A DNS name whose last part is not a number: resolvers take such text for an address in an odd form
 * (`127.1`, `0x7f.1`).
 */
export function isHostName(text: string): boolean {
  if (text.length > 253 || !/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\.?$/i.test(text)) return false;
  const labels = withoutFinalDot(text).split('.');
  return !/^(\d+|0x[0-9a-f]*)$/i.test(labels.at(-1) ?? '');
}

function gateways(text: string): readonly AllowedGateway[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RangeError('is no JSON list of gateways');
  }
  const parsed = z.array(gatewaySchema).safeParse(value, FEW_VALUES);
  if (parsed.success) return parsed.data;
  throw new RangeError(firstProblem(parsed.error));
}

/** The annotation that holds a list of gateways. */
export function writeGateways(list: readonly (AllowedGateway & { readonly name?: string })[]): string {
  return JSON.stringify(list);
}

/** The same as annotations of a Link; none where there is none to allow. */
export function gatewaysAnnotation(list: readonly AllowedGateway[]): Record<string, string> {
  return list.length === 0 ? {} : { [IMPORT_GATEWAYS]: writeGateways(list) };
}

/** The default policy: everything that Linkerd takes, but into protected namespaces. */
export const DEFAULT_POLICY: ImportPolicy = {
  namespaces: undefined,
  names: undefined,
  label: undefined,
  annotation: undefined,
  podCidrs: undefined,
  gatewayCidrs: new IpRanges([]),
  gateways: [],
  quotas: DEFAULT_QUOTAS,
};

type Reader = (text: string) => Partial<ImportPolicy>;

const READERS: Readonly<Record<string, Reader>> = {
  [IMPORT_NAMESPACES]: (text) => ({ namespaces: patterns(text, false) }),
  [IMPORT_NAMES]: (text) => ({ names: patterns(text, true) }),
  [IMPORT_LABELS]: (text) => ({ label: keyTest(listItems(text)) }),
  [IMPORT_ANNOTATIONS]: (text) => ({ annotation: keyTest(listItems(text)) }),
  [IMPORT_POD_CIDRS]: (text) => ({ podCidrs: new IpRanges(listItems(text)) }),
  [IMPORT_GATEWAY_CIDRS]: (text) => ({ gatewayCidrs: new IpRanges(listItems(text)) }),
  [IMPORT_GATEWAYS]: (text) => ({ gateways: gateways(text) }),
  [IMPORT_QUOTAS]: (text) => ({ quotas: quotas(text) }),
};

/**
 * The import policy that the annotations of a Link say. A policy that cannot be read is a problem, never the
 * default: what was meant to be closed must not be open. So is an annotation of this group that nobody knows.
 */
export function parseImportPolicy(annotations: Readonly<Record<string, string>> | undefined): {
  readonly policy: ImportPolicy;
  readonly problems: readonly PolicyProblem[];
} {
  const problems: PolicyProblem[] = [];
  let policy = DEFAULT_POLICY;
  for (const [annotation, text] of importAnnotations(annotations)) {
    const read = READERS[annotation];
    const max = annotation === IMPORT_GATEWAYS ? MAX_GATEWAYS_TEXT : MAX_TEXT;
    if (read === undefined) {
      const near = nearest(annotation, Object.keys(READERS));
      problems.push({
        annotation,
        problem: `is no setting of the import policy${near === undefined ? '' : ` (did you mean "${near}"?)`}`,
      });
      continue;
    }
    if (text.length > max) {
      problems.push({ annotation, problem: `has ${text.length} characters, ${max} are read` });
      continue;
    }
    try {
      policy = { ...policy, ...read(text) };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      problems.push({ annotation, problem: error.message });
    }
  }
  return { policy, problems };
}

/** The annotations of a Link that are its import policy, sorted. */
export function importAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
): [annotation: string, text: string][] {
  return Object.entries(annotations ?? {})
    .filter(([key]) => key.startsWith(IMPORT_CONTROL_PREFIX))
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/**
 * Test for lists of label and annotation keys (`Link.spec.excludedLabels`, `excludedAnnotations`, allow
 * lists): each entry is a key, or `<group>/*` for every key of exactly that group. (Linkerd takes the group
 * as a bare prefix, so that `evil.io/*` also drops `evil.iot/b`.)
 */
export function keyTest(entries: readonly string[]): (key: string) => boolean {
  const groups = new Set(entries.filter((entry) => entry.endsWith('/*')).map((entry) => entry.slice(0, -2)));
  const keys = new Set(entries.filter((entry) => !entry.endsWith('/*')));
  return (key) => keys.has(key) || (groups.has(key.split('/', 1)[0] ?? '') && key.includes('/'));
}

/**
 * The import rule of docs/architecture.md: imports point down only, folders of one layer do not know each
 * other, and there are no circles of files or folders but those listed here, which may only shrink. Imports
 * of types count as any other: who needs a type knows the file. Run by `npm run check`; prints every
 * violation and exits with 1. `node scripts/check-imports.ts --circles` prints the circles that there are.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { circlesOf, circleViolations, type Graph, type KnownCircles, wayAround } from './circles.ts';

/**
 * Layers from top to bottom. A file may import its own folder and any folder of a lower layer. A folder
 * within another may stand in a layer of its own; of two that fit, the deeper one counts.
 */
export const layers: readonly (readonly string[])[] = [
  ['cli', 'dashboard/page'],
  ['processes', 'dashboard'],
  ['drains', 'traffic'],
  ['check'],
  ['gateway', 'egress', 'controllers', 'install'],
  ['linking', 'tap'],
  ['proxy', 'discovery', 'identity'],
  ['exports', 'manifests'],
  ['policy'],
  ['kube', 'dns'],
  ['telemetry'],
  ['api'],
  ['base'],
  ['api/errors'],
];

/** Imports against that order: of one file by another. */
export const exceptions: readonly (readonly [from: string, to: string])[] = [];

/** The same order within a folder, of those below it. */
export const inside: Readonly<Record<string, readonly (readonly string[])[]>> = {
  proxy: [
    ['proxy/downstream', 'proxy/routing'],
    ['proxy/group'],
    ['proxy/upstream'],
    ['proxy/tracing'],
    ['proxy/upstream/retry', 'proxy/filters', 'proxy/streams'],
    ['proxy/upstream/balancer', 'proxy/http2'],
    ['proxy/io', 'proxy/http1', 'proxy/http2/hpack'],
    ['proxy/metrics'],
    ['proxy/http'],
  ],
  controllers: [
    ['controllers'],
    ['controllers/link', 'controllers/weights', 'controllers/apexes'],
    ['controllers/gc'],
    ['controllers/federated', 'controllers/mirror'],
    ['controllers/import-reconciler'],
    ['controllers/settings'],
    ['controllers/failover'],
    ['controllers/policies'],
    ['controllers/gateway-health', 'controllers/egress-ports'],
    ['controllers/reconcile'],
    ['controllers/objects'],
    ['controllers/imports'],
    ['controllers/removals'],
  ],
};

/** Folders inside another that know nothing of what is around them: only of lower layers. */
export const apart: readonly string[] = ['gateway/authorization'];

/** Circles of files that are not untied yet. */
const KNOWN_FILES: KnownCircles = {};

/** Circles of folders that are not untied yet. */
const KNOWN_FOLDERS: KnownCircles = {};

/** Parts of `controllers` that decide and write; only `gateway-health` asks over the network itself. */
const WITHOUT_SOCKETS = [
  'apexes',
  'egress-ports',
  'federated',
  'gc',
  'import-reconciler',
  'imports',
  'link',
  'mirror',
  'objects',
  'policies',
  'reconcile',
  'removals',
  'settings',
] as const;
const SOCKETS = [/^node:(net|tls|http|https|http2|dgram)$/, /^undici$/];

/**
 * Packages and built-ins that a folder must not know: `proxy` nothing of Kubernetes, reconcilers nothing of
 * sockets.
 */
export const forbidden: Readonly<Record<string, readonly RegExp[]>> = {
  proxy: [/^@kubernetes\//, /^undici$/, /^node:https?$/, /^node:http2$/, /^node:stream$/, /^(\.\.\/)+kube\//],
  ...Object.fromEntries(WITHOUT_SOCKETS.map((folder) => [`controllers/${folder}`, SOCKETS])),
};

/**
 * What runs in a browser: it is served as it is, so that values come from its own folder, from what is served
 * beside it, and from the libraries of its import map. Types of lower layers it may know as others do.
 */
export const inBrowser = {
  folder: 'dashboard/page',
  beside: ['dashboard/snapshot.ts', 'dashboard/answers.ts'],
  libraries: ['preact', 'preact/hooks', 'htm/preact', '@preact/signals', 'uplot'],
} as const;

/**
 * What may stand between `import` and `from`: names, and comments with whatever is in them. A comment can be
 * read in one way only: where an `export` is followed by many of them, and by no `from`, time would else grow
 * with the power of their number.
 */
const CLAUSE = String.raw`(?:[^'";/]|/\*(?:[^*]|\*(?!/))*\*/|//[^\n]*(?=\n))*?`;
const IMPORT = new RegExp(
  String.raw`(?:^|\n)\s*(?:import|export)\b(${CLAUSE})\bfrom\s+['"]([^'"]+)['"]` +
    String.raw`|\bimport\(\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s+['"]([^'"]+)['"]`,
  'g',
);

/** One import of a file. */
export interface Import {
  /** As it is written. */
  readonly specifier: string;
  /** Of a file of ours: its path from src/. */
  readonly file: string | undefined;
  /** `import type`, or `type` before every name. */
  readonly typesOnly: boolean;
}

/** What a file imports, re-exports and loads. `file` is relative to src/. */
export function importsOf(file: string, text: string): Import[] {
  return [...text.matchAll(IMPORT)].map((match) => {
    const specifier = match[2] ?? match[3] ?? match[4] ?? '';
    const target = specifier.startsWith('.')
      ? path.posix.join(path.posix.dirname(file), specifier)
      : undefined;
    return { specifier, file: target, typesOnly: namesTypes(match[1] ?? '') };
  });
}

function namesTypes(clause: string): boolean {
  const bare = clause.replaceAll(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '').trim();
  if (bare.startsWith('type ')) return true;
  const names = /^\{([\s\S]*)\}$/
    .exec(bare)?.[1]
    ?.split(',')
    .map((name) => name.trim());
  return names?.every((name) => name === '' || name.startsWith('type ')) ?? false;
}

/** Violations of one file, as lines for people. `file` is relative to src/. */
export function violations(file: string, text: string): string[] {
  const within = path.posix.dirname(file);
  const folder = roomOf(file);
  const banned = Object.entries(forbidden).flatMap(([room, patterns]) =>
    isWithin(within, room) ? patterns : [],
  );
  const closed = apart.find((one) => isWithin(within, one));
  return importsOf(file, text).flatMap((one) => {
    const { specifier, file: target } = one;
    if (isWithin(within, inBrowser.folder) && !one.typesOnly && !isServed(one))
      return [`src/${file}: ${folder}/ runs in a browser, which is not served "${specifier}"`];
    if (banned.some((pattern) => pattern.test(specifier)))
      return [`src/${file}: ${folder}/ must not import "${specifier}"`];
    if (target === undefined || exceptions.some(([a, b]) => a === file && b === target)) return [];
    const to = roomOf(target);
    const parts = inside[folder];
    if (!allowed(folder, to)) return [`src/${file}: ${folder}/ must not import ${to}/ ("${specifier}")`];
    if (folder === to && parts !== undefined && !pointsDown(parts, file, target))
      return [`src/${file}: its folder must not import ${path.posix.dirname(target)}/ ("${specifier}")`];
    const around = closed?.split('/')[0];
    if (closed !== undefined && target.startsWith(`${around}/`) && !target.startsWith(`${closed}/`))
      return [`src/${file}: ${closed}/ must not import what is around it ("${specifier}")`];
    return [];
  });
}

function isServed({ specifier, file }: Import): boolean {
  if (file === undefined) return inBrowser.libraries.some((one) => one === specifier);
  return isWithin(path.posix.dirname(file), inBrowser.folder) || inBrowser.beside.some((one) => one === file);
}

/** Whether a folder is another, or below it. */
function isWithin(folder: string, other: string): boolean {
  return folder === other || folder.startsWith(`${other}/`);
}

/**
 * The folder by which a file has its place in the layers: the deepest that is named there, else the topmost.
 */
function roomOf(file: string, among: readonly (readonly string[])[] = layers): string {
  const rooms = among.flat().filter((room) => isWithin(path.posix.dirname(file), room));
  return rooms.toSorted((a, b) => b.length - a.length)[0] ?? file.split('/')[0] ?? '';
}

function allowed(from: string, to: string): boolean {
  return from === to || isBelow(layers, to, from);
}

function pointsDown(parts: readonly (readonly string[])[], file: string, target: string): boolean {
  const [from, to] = [roomOf(file, parts), roomOf(target, parts)];
  return from === to || isBelow(parts, to, from);
}

function isBelow(order: readonly (readonly string[])[], lower: string, upper: string): boolean {
  const from = order.findIndex((layer) => layer.includes(upper));
  return from >= 0 && order.findIndex((layer) => layer.includes(lower)) > from;
}

/** Who imports whom, by file and by folder, and which edges are of types only (`from → to`). */
export function graphsOf(sources: ReadonlyMap<string, string>): {
  readonly files: Graph;
  readonly folders: Graph;
  readonly typesOnly: ReadonlySet<string>;
} {
  const files = new Map<string, Set<string>>();
  const folders = new Map<string, Set<string>>();
  const types = new Set<string>();
  const values = new Set<string>();
  for (const [file, text] of sources) {
    const folder = path.posix.dirname(file);
    const targets = importsOf(file, text).filter((one) => one.file !== undefined);
    files.set(file, new Set(targets.map((one) => one.file ?? '')));
    const beside = [...(files.get(file) ?? [])]
      .map((to) => path.posix.dirname(to))
      .filter((to) => to !== folder);
    folders.set(folder, new Set([...(folders.get(folder) ?? []), ...beside]));
    for (const one of targets) (one.typesOnly ? types : values).add(`${file} → ${one.file}`);
  }
  return { files, folders, typesOnly: new Set([...types].filter((edge) => !values.has(edge))) };
}

/** Every source by its path from `root`/src. */
function sourcesOf(root: string): Map<string, string> {
  const src = path.join(root, 'src');
  return new Map(
    readdirSync(src, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => [file.split(path.sep).join('/'), readFileSync(path.join(src, file), 'utf8')] as const),
  );
}

/** What is wrong with all sources together. */
function checkTree(sources: ReadonlyMap<string, string>): string[] {
  const { files, folders } = graphsOf(sources);
  return [
    ...[...sources].flatMap(([file, text]) => violations(file, text)),
    ...circleViolations('files', files, KNOWN_FILES),
    ...circleViolations('folders', folders, KNOWN_FOLDERS),
  ];
}

/**
 * Each circle with its members, and for each member a way around; edges that are of types only are marked.
 */
function describeCircles(sources: ReadonlyMap<string, string>): string {
  const { files, folders, typesOnly } = graphsOf(sources);
  const line = (graph: Graph, node: string) =>
    wayAround(graph, node).reduce((way, next, index, all) => {
      const edge = `${all[index - 1] ?? ''} → ${next}`;
      return `${way}${typesOnly.has(edge) ? ' ⇢ ' : ' → '}${next}`;
    });
  const list = (what: string, graph: Graph) =>
    circlesOf(graph).map(
      (circle) => `${circle.length} ${what}\n${circle.map((node) => `  ${line(graph, node)}\n`).join('')}`,
    );
  return [...list('files', files), ...list('folders', folders), '⇢ is of types only\n'].join('\n');
}

if (import.meta.main) {
  const sources = sourcesOf(path.dirname(import.meta.dirname));
  const found = checkTree(sources);
  if (process.argv.includes('--circles')) process.stdout.write(describeCircles(sources));
  for (const line of found) process.stderr.write(`${line}\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}

/**
 * The import rule of docs/architecture.md: imports point down only, folders of one layer do not know each other, and there are no circles of
 * files or folders but those listed here, which may only shrink. Imports of types count as any other: who needs a type knows the file.
 * Run by `npm run check`; prints every violation and exits with 1. `node scripts/check-imports.ts --circles` prints the circles that there are.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { circlesOf, circleViolations, type Graph, type KnownCircles, wayAround } from './circles.ts';

/** Layers from top to bottom. A file may import its own folder and any folder of a lower layer. */
export const layers: readonly (readonly string[])[] = [
  ['cli'],
  ['gateway', 'egress', 'mirror', 'link', 'probe', 'install', 'check'],
  ['proxy', 'discovery', 'identity'],
  ['kube', 'dns', 'telemetry'],
  ['base'],
];

/** Imports inside one layer that the architecture names explicitly: `mirror` is made of Links, `install` looks at them, `check` at everything, `kube` and `dns` log. */
export const sideways: readonly (readonly [from: string, to: string])[] = [
  ['mirror', 'link'],
  ['install', 'link'],
  ['check', 'link'],
  ['check', 'mirror'],
  ['check', 'install'],
  ['kube', 'telemetry'],
  ['dns', 'telemetry'],
];

/** Folders inside another that know nothing of what is around them: only of lower layers. */
export const apart: readonly string[] = ['gateway/policy', 'proxy/balancer'];

/** Circles of files that are not untied yet. */
const KNOWN_FILES: KnownCircles = {
  'pages of lists': ['kube/client.ts', 'kube/list-pages.ts'],
  'exports of the gateway': ['link/export-gateways.ts', 'link/link-gen.ts'],
  'attempts at endpoints': ['proxy/balancer/attempt.ts', 'proxy/balancer/endpoint.ts'],
  'sessions, exchanges and targets': [
    'proxy/forwarding.ts',
    'proxy/http1/exchange.ts',
    'proxy/http1/render.ts',
    'proxy/http1/session.ts',
    'proxy/http1/translated.ts',
    'proxy/http1/upgraded.ts',
    'proxy/http1/upstream.ts',
    'proxy/http2/exchange.ts',
    'proxy/http2/session.ts',
    'proxy/opaque.ts',
    'proxy/session.ts',
    'proxy/target.ts',
    'proxy/undecided.ts',
  ],
  'verbs, and their completion': ['cli/completion.ts', 'cli/verbs.ts'],
};

/** Circles of folders that are not untied yet. */
const KNOWN_FOLDERS: KnownCircles = {
  proxy: [
    'proxy',
    'proxy/gate',
    'proxy/http1',
    'proxy/http2',
    'proxy/http2/hpack',
    'proxy/retry',
    'proxy/streams',
  ],
  egress: ['egress', 'egress/clients'],
};

/** Packages and built-ins that a folder must not know: `proxy` nothing of Kubernetes, `mirror` nothing of sockets. */
export const forbidden: Readonly<Record<string, readonly RegExp[]>> = {
  proxy: [/^@kubernetes\//, /^undici$/, /^node:https?$/, /^node:http2$/, /^node:stream$/, /^\.\.\/kube\//],
  mirror: [/^node:(net|tls|http|https|http2|dgram)$/, /^undici$/],
};

/** What may stand between `import` and `from`: names, and comments with whatever is in them. */
const CLAUSE = String.raw`(?:[^'";/]|/\*[\s\S]*?\*/|//[^\n]*)*?`;
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
  const folder = file.split('/')[0] ?? '';
  const closed = apart.find((one) => within === one || within.startsWith(`${one}/`));
  return importsOf(file, text).flatMap(({ specifier, file: target }) => {
    if (forbidden[folder]?.some((pattern) => pattern.test(specifier)) === true)
      return [`src/${file}: ${folder}/ must not import "${specifier}"`];
    if (target === undefined) return [];
    const to = target.split('/')[0] ?? '';
    if (!allowed(folder, to)) return [`src/${file}: ${folder}/ must not import ${to}/ ("${specifier}")`];
    if (closed !== undefined && to === folder && !target.startsWith(`${closed}/`))
      return [`src/${file}: ${closed}/ must not import what is around it ("${specifier}")`];
    return [];
  });
}

function allowed(from: string, to: string): boolean {
  if (from === to || sideways.some(([a, b]) => a === from && b === to)) return true;
  const fromLayer = layers.findIndex((layer) => layer.includes(from));
  const toLayer = layers.findIndex((layer) => layer.includes(to));
  return fromLayer >= 0 && toLayer > fromLayer;
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

/** Each circle with its members, and for each member a way around; edges that are of types only are marked. */
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

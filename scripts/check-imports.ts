/**
 * The import rule of docs/architecture.md: imports point down only, and folders of one layer do not know each other.
 * Run by `npm run check`; prints every violation and exits with 1.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

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

/** Packages and built-ins that a folder must not know: `proxy` nothing of Kubernetes, `mirror` nothing of sockets. */
export const forbidden: Readonly<Record<string, readonly RegExp[]>> = {
  proxy: [/^@kubernetes\//, /^undici$/, /^node:https?$/, /^node:http2$/, /^node:stream$/, /^\.\.\/kube\//],
  mirror: [/^node:(net|tls|http|https|http2|dgram)$/, /^undici$/],
};

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\b[^'";]*?\bfrom\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s+['"]([^'"]+)['"]/g;

/** Violations of one file, as lines for people. `file` is relative to src/. */
export function violations(file: string, text: string): string[] {
  const folder = file.split('/')[0] ?? '';
  const found: string[] = [];
  for (const match of text.matchAll(IMPORT)) {
    const target = match[1] ?? match[2] ?? match[3] ?? '';
    if (forbidden[folder]?.some((pattern) => pattern.test(target)) === true) {
      found.push(`src/${file}: ${folder}/ must not import "${target}"`);
    } else if (target.startsWith('.')) {
      const to = path.posix.normalize(path.posix.join(path.posix.dirname(file), target)).split('/')[0] ?? '';
      if (!allowed(folder, to)) found.push(`src/${file}: ${folder}/ must not import ${to}/ ("${target}")`);
    }
  }
  return found;
}

function allowed(from: string, to: string): boolean {
  if (from === to || sideways.some(([a, b]) => a === from && b === to)) return true;
  const fromLayer = layers.findIndex((layer) => layer.includes(from));
  const toLayer = layers.findIndex((layer) => layer.includes(to));
  return fromLayer >= 0 && toLayer > fromLayer;
}

/** Checks every file under `root`/src. */
export function checkTree(root: string): string[] {
  const src = path.join(root, 'src');
  return readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) =>
      violations(file.split(path.sep).join('/'), readFileSync(path.join(src, file), 'utf8')),
    );
}

if (import.meta.main) {
  const found = checkTree(path.dirname(import.meta.dirname));
  for (const line of found) process.stderr.write(`${line}\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}

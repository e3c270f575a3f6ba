/**
 * The supply-chain rule of SECURITY.md, run by `npm run check`: every entry of package-lock.json has a SHA-512, no entry comes from
 * anywhere but the registry, package.json pins exact versions, install scripts run for the listed packages only, and base images are
 * named by digest. Prints every violation and exits with 1.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

interface LockEntry {
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly allowScripts?: Readonly<Record<string, boolean>>;
}

/**
 * Packages whose install scripts may run: bun's puts the binary that its platform's package brought (in the lock file, with its hash)
 * where `node_modules/.bin` looks.
 */
const MAY_RUN_SCRIPTS = new Set(['bun']);
const EXACT = /^\d+\.\d+\.\d+$/;
const SHA512 = /^sha512-[A-Za-z0-9+/]{86}==$/;
const REGISTRY = 'https://registry.npmjs.org/';

/** What is wrong with a lock file's entries (`packages` of lockfile version 3). */
export function lockViolations(packages: Readonly<Record<string, LockEntry>>): string[] {
  return Object.entries(packages).flatMap(([name, entry]) => {
    if (name === '') return [];
    const found: string[] = [];
    if (!SHA512.test(entry.integrity ?? ''))
      found.push(
        `package-lock.json: ${name} has no SHA-512. Delete the entry and run \`npm install --package-lock-only\``,
      );
    if (entry.link === true || (entry.resolved !== undefined && !entry.resolved.startsWith(REGISTRY)))
      found.push(`package-lock.json: ${name} does not come from the registry`);
    return found;
  });
}

/** What is wrong with package.json: versions that move, install scripts that nobody looked at. */
export function manifestViolations(manifest: Manifest): string[] {
  const all = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies };
  const moving = Object.entries(all)
    .filter(([, version]) => !EXACT.test(version))
    .map(([name, version]) => `package.json: ${name} is "${version}", not one version`);
  const scripts = Object.entries(manifest.allowScripts ?? {})
    .filter(([name, allowed]) => allowed && !MAY_RUN_SCRIPTS.has(name))
    .map(([name]) => `package.json: ${name} may run install scripts; scripts/check-lock.ts does not list it`);
  return [...moving, ...scripts];
}

/** Base images of a Dockerfile without a digest: a tag is whatever its owner says today. */
export function imageViolations(dockerfile: string): string[] {
  const stages = new Set<string>();
  const found: string[] = [];
  for (const line of dockerfile.split('\n')) {
    const [instruction, ...words] = line.trim().split(' ');
    if (instruction?.toUpperCase() !== 'FROM') continue;
    const [image = '', as, stage = ''] = words.filter((word) => !word.startsWith('--'));
    if (!stages.has(image) && !image.includes('@sha256:') && !image.startsWith('$'))
      found.push(`Dockerfile: ${image} is not named by digest`);
    if (as?.toUpperCase() === 'AS') stages.add(stage);
  }
  return found;
}

if (import.meta.main) {
  const root = path.dirname(import.meta.dirname);
  const read = (name: string) => readFileSync(path.join(root, name), 'utf8');
  const lock = JSON.parse(read('package-lock.json')) as { readonly packages: Record<string, LockEntry> };
  const found = [
    ...lockViolations(lock.packages),
    ...manifestViolations(JSON.parse(read('package.json')) as Manifest),
    ...imageViolations(read('Dockerfile')),
  ];
  for (const line of found) process.stderr.write(`${line}\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}

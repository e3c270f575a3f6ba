/**
 * The supply-chain rule of SECURITY.md, run by `npm run check`: every entry of package-lock.json has a
 * SHA-512, no entry comes from anywhere but the registry, package.json pins exact versions, install scripts
 * run for the listed packages only, base images are named by digest, and the image has an SBOM. Prints every
 * violation and exits with 1.
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
 * Packages whose install scripts may run: bun's puts the binary that its platform's package brought (in the
 * lock file, with its hash) where `node_modules/.bin` looks.
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

/** An instruction of a Dockerfile, with the lines that it goes on in. */
interface Instruction {
  readonly name: string;
  readonly flags: readonly string[];
  readonly words: readonly string[];
}

function instructionsOf(dockerfile: string): Instruction[] {
  const lines = dockerfile
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('#'))
    .join('\n')
    .replaceAll('\\\n', ' ')
    .split('\n');
  return lines
    .map((line) => line.split(' ').filter((word) => word !== ''))
    .filter((words) => words.length > 0)
    .map(([name = '', ...rest]) => ({
      name: name.toUpperCase(),
      flags: rest.filter((word) => word.startsWith('--')),
      words: rest.filter((word) => !word.startsWith('--')),
    }));
}

const DIGEST = /@sha256:[0-9a-f]{64}$/;

/**
 * Images that a Dockerfile builds on or copies from without a digest: a tag is whatever its owner says today,
 * and a variable whatever who builds says.
 */
export function imageViolations(dockerfile: string): string[] {
  const stages = new Set<string>();
  const found: string[] = [];
  const see = (image: string) => {
    if (!stages.has(image) && image !== 'scratch' && !DIGEST.test(image))
      found.push(`Dockerfile: ${image} is not named by digest`);
  };
  for (const { name, flags, words } of instructionsOf(dockerfile)) {
    const [image = '', as, stage = ''] = words;
    if (name === 'FROM') see(image);
    if (name === 'FROM' && as?.toUpperCase() === 'AS') stages.add(stage);
    const from = flags.find((flag) => flag.startsWith('--from='));
    if (name === 'COPY' && from !== undefined) see(from.slice('--from='.length));
  }
  return found;
}

const SBOM = 'sbom.cdx.json';

/**
 * Whether a Dockerfile makes an SBOM of what is left when the tools of the build are gone, and its last stage
 * has it.
 */
export function sbomViolations(dockerfile: string): string[] {
  const all = instructionsOf(dockerfile);
  const commands = all
    .filter(({ name }) => name === 'RUN')
    .flatMap(({ words }) => words.join(' ').split('&&'));
  const at = (...parts: readonly string[]) =>
    commands.findIndex((command) => parts.every((part) => command.includes(part)));
  const made = at('npm sbom', `> ${SBOM}`);
  if (made < 0) return [`Dockerfile: no RUN writes ${SBOM} with npm sbom`];
  const last = all.slice(all.findLastIndex(({ name }) => name === 'FROM'));
  const copied = last.some(
    ({ name, flags, words }) =>
      name === 'COPY' &&
      flags.some((flag) => flag.startsWith('--from=')) &&
      words.slice(0, -1).some((word) => word.endsWith(`/${SBOM}`)),
  );
  const pruned = at('npm prune');
  return [
    ...(pruned < 0 || pruned > made
      ? [`Dockerfile: ${SBOM} is not made of what is left after npm prune`]
      : []),
    ...(copied ? [] : [`Dockerfile: ${SBOM} is not copied into the image`]),
  ];
}

if (import.meta.main) {
  const root = path.dirname(import.meta.dirname);
  const read = (name: string) => readFileSync(path.join(root, name), 'utf8');
  const lock = JSON.parse(read('package-lock.json')) as { readonly packages: Record<string, LockEntry> };
  const found = [
    ...lockViolations(lock.packages),
    ...manifestViolations(JSON.parse(read('package.json')) as Manifest),
    ...imageViolations(read('Dockerfile')),
    ...sbomViolations(read('Dockerfile')),
  ];
  for (const line of found) process.stderr.write(`${line}\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}

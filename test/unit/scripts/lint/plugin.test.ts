import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '../../../..');

/** Lines that the linter, as it is configured for `src/`, finds something wrong with by one of our rules. */
function foundLines(rule: string, lines: readonly string[]): number[] {
  const file = path.join(ROOT, 'src', `lint-probe-${process.pid}.ts`);
  writeFileSync(file, lines.join('\n'));
  try {
    const oxlint = path.join(ROOT, 'node_modules/oxlint/bin/oxlint');
    const run = spawnSync(process.execPath, [oxlint, '--format', 'unix', file], { cwd: ROOT });
    const found = run.stdout.toString().split('\n');
    const ours = found.filter((line) => line.includes(`linkspan(${rule})`));
    return ours.map((line) => Number(line.split(':')[1])).sort((a, b) => a - b);
  } finally {
    rmSync(file);
  }
}

describe('the linter', () => {
  it('refuses regular expressions in src/ that backtrack, or that are made at run time', () => {
    const lines = [
      'export const bad = (text: string) => /\\s+$/.test(text);',
      'export const made = (text: string) => new RegExp(text);',
      'export const constant = () => RegExp("(a+)+$");',
      'export const implied = (text: string, pattern: string) => text.match(pattern);',
      'export const good = (text: string) => /^\\s+/.test(text);',
      'export const known = () => new RegExp("^a+$");',
    ];
    expect(foundLines('linear-regexes', lines)).to.deep.equal([1, 2, 3, 4]);
  });

  it('refuses to read annotations in src/ without their limit', () => {
    const lines = [
      'type All = Record<string, string>;',
      'export const direct = (annotations: All) => annotations["a"];',
      'export const within = (object: { annotations?: All }) => object.annotations?.["a"];',
      'export const written = (annotations: All) => { annotations["a"] = "b"; };',
      'export const gone = (object: { annotations: All }) => { delete object.annotations["a"]; };',
      'export const taken = (object: { annotations?: All }) => { const { a } = object.annotations ?? {}; return a; };',
      'export const named = (annotations: All) => { const { ["a"]: found, ...rest } = annotations; return [found, rest]; };',
      'export const without = (object: { annotations: All }) => { const { a: _, ...rest } = object.annotations; return rest; };',
    ];
    expect(foundLines('read-annotations', lines)).to.deep.equal([2, 3, 6, 7]);
  });

  // A controller that was stopped before its first sync crashed: what it waited for was rejected, and nobody
  // had said what then.
  it('refuses to leave a rejection to nobody', () => {
    const lines = [
      'declare const one: Promise<void>;',
      'export const bad = () => void one.then(() => undefined);',
      'export const good = () => void one.then(() => undefined, () => undefined);',
      'export const caught = () => void one.then(() => undefined).catch(() => undefined);',
    ];
    expect(foundLines('handled-then', lines)).to.deep.equal([2]);
  });

  // Keys of mirrors were spelt, and their values parsed, in whichever folder needed them: gateway and egress
  // came to disagree about what a port speaks.
  it('refuses names of the contract outside src/api, in strings, templates and regular expressions', () => {
    const lines = [
      "export const label = 'mirror.linkerd.io/exported';",
      'export const key = (cluster: string) => `egress-ports.linkspan.dev/${cluster}`;',
      "export const keyed = { 'linkspan.dev/link': '' };",
      "export const page = 'https://linkerd.io/2/checks/';",
      '// linkspan.dev/link may be spoken of.',
      'export const ours = (key: string) => /^mirror\\.linkerd\\.io\\//.test(key);',
      'export const line = (why: string) => `l5d-proxy-error: ${why}`;',
      "export const port = 'mc-gateway';",
    ];
    expect(foundLines('contract-names', lines)).to.deep.equal([1, 2, 3, 6, 7, 8]);
  });
});

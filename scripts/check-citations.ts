/**
 * Nothing of the repo is cited that is not there, run by `npm run check`: files and folders
 * (`src/base/clock.ts`, in docs also `base/clock.ts` and `clock.ts`), links between pages with their anchors,
 * pages of docs/adr (`ADR 0016`), sections of docs/reference/wire-protocol.md (`wire protocol 1.3`), and
 * scripts of package.json (`npm run check`). Prints every violation and exits with 1.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** A checkout: its files by path from the root, with `/`, and the text of those that are read. */
export type Tree = ReadonlyMap<string, string>;

/** The page whose sections are cited by number. */
const WIRE_PAGE = 'docs/reference/wire-protocol.md';

/** Files whose text is looked at: not what programs printed (golden), nor what npm writes. */
const LOOKED_AT = /\.(ts|js|md|ya?ml|tpl|json|go|py)$|(^|\/)(Dockerfile|run)$/;
const LEFT_OUT = /^test\/golden\/|^package-lock\.json$|^LICENSE$/;

const URL_OF_OURS = 'https://github.com/linkspan/linkspan/blob/main/';
/** Where a path begins that is meant from the root. */
const ROOTED =
  /(?<![\w./@<>$*-])((?:src|docs|scripts|charts|test|bench|demo|crds|bin|kind-configs)\/[\w.-]+(?:\/[\w.-]+)*\/?)(#[\w-]+)?/g;
const FROM_ROOT = /^(src|docs|scripts|charts|test|bench|demo|crds|bin|kind-configs)\//;
/**
 * These begin nothing but paths of ours; the others are also names of objects (`demo/web`) and of folders
 * elsewhere.
 */
const OURS_ALONE = /^(src|docs|scripts)\//;
const EXTENSION = /\.(ts|js|md|ya?ml|json|go|py|mod|sum|tpl)$/;
/** A file by a part of its path, or by its name. */
const NAMED = /(?<![\w./@<>$*{}-])((?:\.\.\/)*(?:[\w-][\w.-]*\/)*[\w-][\w.-]*\.(?:ts|md))(?![\w*{}/-])/g;
const MARKDOWN_LINK = /\]\(([^()\s]+)\)/g;
const WIRE = /wire[- ](protocol|reference|contract) (\d+(?:\.\d+)?(?:(?:, | and |, and )\d+(?:\.\d+)?)*)/gi;
const ADR = /\bADRs? (\d{4})/g;
const NPM_RUN = /\bnpm (?:--silent )?run ([\w:-]+)/g;
const COMMENT = /\/\*[\s\S]*?\*\/|(?<![:'"`\\/])\/\/[^\n]*/g;

/** Tests whose strings are trees of their own. */
const FIXTURES = /^test\/unit\/scripts\//;

/** What a tree cites and has not, one line each: `file:line: what`. */
export function citationViolations(tree: Tree): string[] {
  const known = knownOf(tree);
  return [...tree].flatMap(([file, text]) => {
    if (!LOOKED_AT.test(file) || LEFT_OUT.test(file) || FIXTURES.test(file)) return [];
    const found = [...everywhere(text, known)];
    if (file.endsWith('.md'))
      found.push(...links(file, text, known), ...named(file, text.replaceAll(MARKDOWN_LINK, blank), known));
    else if (/\.[tj]s$/.test(file))
      for (const comment of text.matchAll(COMMENT))
        found.push(
          ...named(file, comment[0], known).map(([at, what]): Finding => [at + comment.index, what]),
        );
    return found
      .toSorted(([a], [b]) => a - b)
      .map(([at, what]) => `${file}:${text.slice(0, at).split('\n').length}: ${what}`);
  });
}

/** As long as what it stands for, so that places stay. */
const blank = (text: string) => ' '.repeat(text.length);

/** Where in the text, and what is wrong. */
type Finding = readonly [at: number, what: string];

interface Known {
  readonly paths: ReadonlySet<string>;
  /** Ends of paths, from each `/` on: `clock.ts`, `base/clock.ts`, …. */
  readonly ends: ReadonlySet<string>;
  readonly anchors: (page: string) => ReadonlySet<string>;
  readonly sections: ReadonlySet<string>;
  readonly adrs: ReadonlySet<string>;
  readonly scripts: ReadonlySet<string>;
}

function knownOf(tree: Tree): Known {
  const paths = new Set<string>();
  const ends = new Set<string>();
  for (const file of tree.keys()) {
    const parts = file.split('/');
    parts.forEach((_, index) => {
      paths.add(parts.slice(0, index + 1).join('/'));
      ends.add(parts.slice(index).join('/'));
    });
  }
  const pages = new Map<string, ReadonlySet<string>>();
  const anchors = (page: string): ReadonlySet<string> => {
    const cached = pages.get(page) ?? anchorsOf(tree.get(page) ?? '');
    pages.set(page, cached);
    return cached;
  };
  const wire = (tree.get(WIRE_PAGE) ?? '').matchAll(/^#{2,3} (\d+(?:\.\d+)?)[. ]/gm);
  const adrs = [...tree.keys()].flatMap((file) => /^docs\/adr\/(\d{4})-/.exec(file)?.[1] ?? []);
  const manifest = JSON.parse(tree.get('package.json') ?? '{}') as { scripts?: Record<string, string> };
  return {
    paths,
    ends,
    anchors,
    sections: new Set([...wire].map((match) => match[1] ?? '')),
    adrs: new Set(adrs),
    scripts: new Set(Object.keys(manifest.scripts ?? {})),
  };
}

/** The anchors that GitHub gives to a page's headings, and those that stand in it as `<a id="…">`. */
export function anchorsOf(page: string): Set<string> {
  const found = new Set<string>(
    [...page.matchAll(/<a (?:id|name)="([^"]+)"/g)].map((match) => match[1] ?? ''),
  );
  let fenced = false;
  for (const line of page.split('\n')) {
    if (/^\s*(```|~~~)/.test(line)) fenced = !fenced;
    const heading = fenced ? undefined : /^#{1,6} (.+?)\s*#*$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const slug = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
      .replaceAll(' ', '-');
    let unique = slug;
    for (let count = 1; found.has(unique); count++) unique = `${slug}-${count}`;
    found.add(unique);
  }
  return found;
}

/** Citations that mean the same wherever they stand. */
function* everywhere(text: string, known: Known): Generator<Finding> {
  const rooted = text.replaceAll(URL_OF_OURS, blank);
  for (const { index, 1: cited = '', 2: anchor } of rooted.matchAll(ROOTED)) {
    const target = cited.replace(/[./]+$/, '');
    if (!OURS_ALONE.test(target) && !EXTENSION.test(target)) continue;
    if (!known.paths.has(target)) yield [index, `there is no ${target}`];
    else if (anchor !== undefined && !known.anchors(target).has(anchor.slice(1)))
      yield [index, `${target} has no heading ${anchor}`];
  }
  for (const { index, 1: name = '' } of text.matchAll(NPM_RUN))
    if (!known.scripts.has(name)) yield [index, `package.json has no script "${name}"`];
  for (const { index, 1: number = '' } of text.matchAll(ADR))
    if (!known.adrs.has(number)) yield [index, `there is no ADR ${number}`];
  for (const { index, 1: name = '', 2: cited = '' } of text.matchAll(WIRE)) {
    if (name.toLowerCase() !== 'protocol')
      yield [index, `the page is called "wire protocol", not "wire ${name}"`];
    for (const section of cited.match(/\d+(?:\.\d+)?/g) ?? [])
      if (!known.sections.has(section)) yield [index, `${WIRE_PAGE} has no section ${section}`];
  }
}

/** Links of a page to files of ours. */
function* links(page: string, text: string, known: Known): Generator<Finding> {
  for (const { index, 1: link = '' } of text.matchAll(MARKDOWN_LINK)) {
    if (/^[a-z][a-z+.-]*:/.test(link)) continue;
    const [cited = '', anchor] = link.split('#');
    const target =
      cited === '' ? page : path.posix.normalize(path.posix.join(path.posix.dirname(page), cited));
    if (!known.paths.has(target.replace(/\/$/, ''))) yield [index, `there is no ${target}`];
    else if (anchor !== undefined && !known.anchors(target).has(anchor))
      yield [index, `${target} has no heading #${anchor}`];
  }
}

/** Files that a page or a comment names by the end of their path, or from where it stands (`../`). */
function named(file: string, text: string, known: Known): Finding[] {
  return [...text.matchAll(NAMED)].flatMap(({ index, 1: cited = '' }): Finding[] => {
    if (FROM_ROOT.test(cited)) return [];
    const there = cited.startsWith('..')
      ? known.paths.has(path.posix.join(path.posix.dirname(file), cited))
      : known.ends.has(cited);
    return there ? [] : [[index, `no file of the repo is called ${cited}`]];
  });
}

/** Folders that are no part of the repo (.gitignore). */
const NOT_OURS = new Set(['.git', 'node_modules', 'dist', '.cache', 'coverage']);

/** The checkout's files. By folders, not by git: this works in a copy, too. */
function treeAt(root: string): Tree {
  const tree = new Map<string, string>();
  const walk = (folder: string): void => {
    for (const entry of readdirSync(path.join(root, folder), { withFileTypes: true })) {
      const file = path.posix.join(folder, entry.name);
      if (NOT_OURS.has(entry.name)) continue;
      if (entry.isDirectory()) walk(file);
      else tree.set(file, LOOKED_AT.test(file) ? readFileSync(path.join(root, file), 'utf8') : '');
    }
  };
  walk('');
  return tree;
}

if (import.meta.main) {
  const found = citationViolations(treeAt(path.dirname(import.meta.dirname)));
  for (const line of found) process.stderr.write(`${line}\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}

import { readdirSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

const packed = promisify(gzip);

/** A file as browsers get it. */
export interface PageFile {
  readonly type: string;
  readonly body: Buffer;
  /** Compressed; absent where that is not worth it. */
  readonly gzip?: Buffer | undefined;
}

/** What the page is made of. */
export interface PageFiles {
  /** By path, as it is asked for. */
  readonly files: ReadonlyMap<string, PageFile>;
  /** The page itself, for every address that it shows. */
  readonly index: PageFile;
  /** The script that stands in it. */
  readonly importMap: string;
}

/** Libraries, by what modules of the page call them: where they lie, and where they are served. */
const LIBRARIES: readonly (readonly [specifier: string, file: string, served: string])[] = [
  ['preact', 'preact/dist/preact.mjs', '/lib/preact.js'],
  ['preact/hooks', 'preact/hooks/dist/hooks.mjs', '/lib/preact-hooks.js'],
  ['htm', 'htm/dist/htm.module.js', '/lib/htm.js'],
  ['htm/preact', 'htm/preact/index.module.js', '/lib/htm-preact.js'],
  ['@preact/signals', '@preact/signals/dist/signals.mjs', '/lib/signals.js'],
  ['@preact/signals-core', '@preact/signals-core/dist/signals-core.mjs', '/lib/signals-core.js'],
  // Its module is not minified, and twice as large as the script that is.
  ['uplot', 'uplot/dist/uPlot.iife.min.js', '/lib/uplot.js'],
];
const UPLOT_STYLE = ['uplot/dist/uPlot.min.css', '/lib/uplot.css'] as const;

const TYPES: Readonly<Record<string, string>> = {
  '.ts': 'text/javascript; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.html': 'text/html; charset=utf-8',
};
/** Below so many bytes nothing is compressed. */
const WORTH_BYTES = 1024;

/** The import map, as it stands in the page. */
const IMPORT_MAP = JSON.stringify({
  imports: Object.fromEntries(LIBRARIES.map(([specifier, , served]) => [specifier, served])),
});

/**
 * Reads all of it once. In a checkout modules are TypeScript, and their types are taken out here; in the
 * image they have been compiled.
 * @param folder where `dashboard/` is; default: beside this file
 */
export async function readPageFiles(folder = import.meta.dirname): Promise<PageFiles> {
  const suffix = path.extname(import.meta.filename);
  const own = [...pageModules(path.join(folder, 'page')), `snapshot${suffix}`, `answers${suffix}`];
  const found = await Promise.all([
    ...own.map(async (name) => [`/${name}`, await fileOf(name, readOwn(folder, name))] as const),
    ...LIBRARIES.map(async ([, file, served]) => [served, await fileOf(served, readLibrary(file))] as const),
    fileOf(UPLOT_STYLE[1], readFileSync(packageFile(UPLOT_STYLE[0]), 'utf8')).then(
      (file) => [UPLOT_STYLE[1], file] as const,
    ),
  ]);
  const index = readFileSync(path.join(folder, 'page/index.html'), 'utf8')
    .replace('<!--importmap-->', () => `<script type="importmap">${IMPORT_MAP}</script>`)
    .replace('<!--main-->', () => `<script type="module" src="/page/start-page${suffix}"></script>`);
  return { files: new Map(found), index: await fileOf('index.html', index), importMap: IMPORT_MAP };
}

/** From the folder above, with `/`. Declarations and maps that a compiler puts beside are none of it. */
function pageModules(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && isServed(entry.name))
    .map((entry) => path.relative(path.dirname(folder), path.join(entry.parentPath, entry.name)))
    .map((name) => name.split(path.sep).join('/'));
}

function isServed(name: string): boolean {
  return Object.hasOwn(TYPES, path.extname(name)) && !/\.(d\.ts|html)$/.test(name);
}

function readOwn(folder: string, name: string): string {
  const text = readFileSync(path.join(folder, name), 'utf8');
  return withoutComments(name.endsWith('.ts') ? withoutTypes(text) : text);
}

/** Comments that have lines of their own are for who reads the source: they are a tenth of the page. */
function withoutComments(text: string): string {
  let isComment = false;
  const kept = text.split('\n').filter((line) => {
    const bare = line.trim();
    const begins = !isComment && bare.startsWith('/*');
    const isPart = isComment || begins || bare.startsWith('//') || bare === '';
    if (begins || isComment) isComment = !bare.includes('*/');
    return !isPart;
  });
  return kept.join('\n');
}

/** Node says at the first call that this may change, which is for us to know and not for who looks. */
function withoutTypes(text: string): string {
  const emitWarning = process.emitWarning.bind(process);
  process.emitWarning = () => undefined;
  try {
    return stripTypeScriptTypes(text);
  } finally {
    process.emitWarning = emitWarning;
  }
}

function readLibrary(file: string): string {
  const text = readFileSync(packageFile(file), 'utf8').replace(/\n\/\/# sourceMappingURL=.*/, '');
  return file.startsWith('uplot/') ? `${text}\nexport default uPlot;\n` : text;
}

/** A file of a package that need not be among its exports. */
function packageFile(file: string): string {
  const name = file
    .split('/')
    .slice(0, file.startsWith('@') ? 2 : 1)
    .join('/');
  const entry = fileURLToPath(import.meta.resolve(name));
  const mark = path.join('node_modules', name, path.sep);
  return path.join(entry.slice(0, entry.lastIndexOf(mark) + mark.length), file.slice(name.length + 1));
}

async function fileOf(name: string, text: string): Promise<PageFile> {
  const body = Buffer.from(text);
  const type = TYPES[path.extname(name)] ?? 'application/octet-stream';
  return body.length < WORTH_BYTES ? { type, body } : { type, body, gzip: await packed(body) };
}

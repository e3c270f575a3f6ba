/**
 * Wraps the comments of a TypeScript file at 110 columns. Nothing but comments changes, and of those only
 * what is too wide.
 */
import { codeOf, type Comment, commentsOf } from './scanner.ts';
import { TAGS_IN_LINE, wrapText } from './paragraphs.ts';

/** As wide as code is (biome.json). */
export const WIDTH = 110;
/** What programs read: it has to stay on its line. */
const DIRECTIVE =
  /^(?:\/\/\/|(?:\/\/|\/\*)\s*(?:@ts-|biome-|oxlint-|eslint-|prettier-|c8 |v8 |#__|#region|#endregion))/;

/** A comment, or some line comments below each other, that stand on lines of their own. */
interface Block {
  readonly kind: Comment['kind'];
  /** Beginning of its first line, and end of its last. */
  readonly start: number;
  end: number;
  readonly indent: string;
}

/**
 * The text with its comments wrapped. A comment behind code goes above it, where the line is too wide.
 * @throws Error when that would change code
 */
export function wrapComments(text: string): string {
  let wrapped = '';
  let at = 0;
  for (const { start, end, text: replacement } of edits(text)) {
    wrapped += text.slice(at, start) + replacement;
    at = end;
  }
  wrapped += text.slice(at);
  if (codeOf(wrapped) !== codeOf(text)) throw new Error('wrapping its comments would change its code');
  return wrapped;
}

/** The lines (from 1) of comments that are wider than they may be. */
export function wideComments(text: string): number[] {
  return edits(text).map(({ start }) => text.slice(0, start).split('\n').length);
}

interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

function edits(text: string): Edit[] {
  const { blocks, trailing } = placed(text);
  const wrapped = blocks.flatMap((block): Edit[] => {
    const before = text.slice(block.start, block.end);
    const after = block.kind === 'line' ? wrapLines(before, block.indent) : wrapBlock(before, block.indent);
    return after === before ? [] : [{ start: block.start, end: block.end, text: after }];
  });
  return [...wrapped, ...trailing].toSorted((a, b) => a.start - b.start);
}

/** Comments on lines of their own, and what becomes of those behind code that make their line too wide. */
function placed(text: string): { readonly blocks: Block[]; readonly trailing: Edit[] } {
  const blocks: Block[] = [];
  const trailing: Edit[] = [];
  for (const { kind, start, end } of commentsOf(text)) {
    const lineStart = text.lastIndexOf('\n', start - 1) + 1;
    const lineEnd = lineEndOf(text, end);
    const before = text.slice(lineStart, start);
    const comment = text.slice(start, end);
    if (DIRECTIVE.test(comment)) continue;
    if (before.trim() === '' && text.slice(end, lineEnd).trim() === '') {
      const last = blocks.at(-1);
      if (kind === 'line' && last?.kind === 'line' && last.end + 1 === lineStart && last.indent === before)
        last.end = end;
      else blocks.push({ kind, start: lineStart, end, indent: before });
    } else if (kind === 'line' && lineEnd - lineStart > WIDTH) {
      const indent = /^\s*/.exec(before)?.[0] ?? '';
      const above = wrapLines(`${indent}${comment}`, indent);
      trailing.push({ start: lineStart, end, text: `${above}\n${before.trimEnd()}` });
    }
  }
  return { blocks, trailing };
}

function lineEndOf(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end;
}

function wrapLines(before: string, indent: string): string {
  const mark = `${indent}// `;
  const lines = before.split('\n').map((line) => line.slice(indent.length + 2).replace(/^ /, ''));
  return wrapText(lines, WIDTH - mark.length)
    .map((line) => `${mark}${line}`.trimEnd())
    .join('\n');
}

function wrapBlock(before: string, indent: string): string {
  const rows = before.split('\n');
  if (rows.every((row) => row.length <= WIDTH)) return before;
  const [, opening = '', first = ''] = /^\s*(\/\*\*?)([^]*)$/.exec(rows[0] ?? '') ?? [];
  const inner = rows.slice(1).map((row) => row.trimStart());
  // Pictures and the like have no stars in front of their lines.
  if (inner.some((row) => !row.startsWith('*'))) return before;
  const lines = [first.trim(), ...inner.map((row) => row.replace(/^\*(?!\/) ?/, ''))];
  const last = (lines.pop() ?? '').replace(/\s*\*\/$/, '');
  const whole = [...lines, last].map((line) => line.trimEnd());
  // Tags stand on lines of their own as soon as there are several: only there are they tags for programs.
  const content = rows.length > 1 ? whole : whole.flatMap((line) => line.split(TAGS_IN_LINE));
  if (content[0] === '' && content.length > 1) content.shift();
  if (content.at(-1) === '' && content.length > 1) content.pop();
  const mark = `${indent} * `;
  const wrapped = wrapText(content, WIDTH - mark.length);
  // A line that cannot be broken (an address, a row of a table) stays as it is.
  if (rows.length > 1 && wrapped.join('\n') === content.join('\n')) return before;
  return [`${indent}${opening}`, ...wrapped.map((line) => `${mark}${line}`.trimEnd()), `${indent} */`].join(
    '\n',
  );
}

/**
 * Wraps the text of one comment: its lines without the marks (`//`, ` * `) in, the same out. A paragraph in
 * which some line is too long is filled anew; every other stays as it is. Lists and @tags are paragraphs of
 * their own; fenced and indented code, tables, and what is behind `@example` are left alone.
 */

/** A line that begins a paragraph of its own: a list item, or a tag. */
const MARKER = /^([-*+]|\d+[.)]) +/;
const TAG = /^@\w/;
/** What must not come to stand at the beginning of a line: it would be something else there. */
const GLUED = /^(?:[-*+>=#]+$|\d+[.)]$|[@|]|```|~~~)/;
const FENCE = /^\s*(```|~~~)/;
/** Where a tag begins behind other text. */
export const TAGS_IN_LINE = / (?=@(?:param|returns|throws|example|default|see|deprecated)\b)/;
/** A code span is not broken, unless it is longer than this. */
const MAX_SPAN = 60;

interface Paragraph {
  readonly lines: string[];
  /** Is left as it is. */
  readonly fixed: boolean;
}

/** @param width columns that a line may have */
export function wrapText(lines: readonly string[], width: number): string[] {
  return paragraphsOf(lines).flatMap(({ lines: own, fixed }) =>
    fixed || own.every((line) => line.length <= width) ? own : fill(own, width),
  );
}

function paragraphsOf(lines: readonly string[]): Paragraph[] {
  const found: Paragraph[] = [];
  let fenced = false;
  let example = false;
  const begin = (line: string, fixed: boolean) => found.push({ lines: [line], fixed });
  for (const line of lines) {
    const fence = FENCE.test(line);
    if (TAG.test(line)) example = line.startsWith('@example') && !fenced;
    const open = found.at(-1);
    if (fenced || fence || example || isFixed(line, open)) begin(line, true);
    else if (open === undefined || open.fixed || TAG.test(line) || MARKER.test(line)) begin(line, false);
    else open.lines.push(line);
    if (fence) fenced = !fenced;
  }
  return found;
}

/** Blank lines, rows of tables, headings, and code: what is indented and continues no list item or tag. */
function isFixed(line: string, open: Paragraph | undefined): boolean {
  if (line.trim() === '' || /^\s*\|/.test(line) || /^#{1,6} /.test(line)) return true;
  const first = open?.fixed === false ? (open.lines[0] ?? '') : '';
  return /^\s/.test(line) && !MARKER.test(first) && !TAG.test(first);
}

function fill(lines: readonly string[], width: number): string[] {
  const joined = lines.map((line) => line.trim()).join(' ');
  // Of the whole: a number that ends its line is one as soon as a word stands behind it.
  const marker = MARKER.exec(joined)?.[0] ?? '';
  const text = joined.slice(marker.length);
  const parts = text.split(TAGS_IN_LINE);
  return parts.flatMap((part, index) => {
    const indent = index === 0 ? ' '.repeat(marker.length) : '';
    const filled: string[] = [];
    let line = index === 0 ? marker : '';
    for (const word of wordsOf(part)) {
      const empty = line === '' || line === marker || line === indent;
      if (!empty && line.length + 1 + word.length > width) {
        filled.push(line);
        line = indent + word;
      } else line += empty ? word : ` ${word}`;
    }
    return [...filled, line];
  });
}

/** Words, with what must stay together as one. */
function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (const [word] of text.matchAll(/(?:`[^`]*`|[^\s`]|`)+/g)) {
    const pieces = word.length > MAX_SPAN ? word.split(/\s+/) : [word];
    for (const piece of pieces) {
      const last = words.at(-1);
      if (last !== undefined && GLUED.test(piece)) words[words.length - 1] = `${last} ${piece}`;
      else words.push(piece);
    }
  }
  return words;
}

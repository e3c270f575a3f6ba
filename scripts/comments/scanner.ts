/**
 * Where the comments of a TypeScript file are. Strings, templates and regular expressions are followed as far
 * as it takes to tell what is in them from a comment: tests hold whole programs in templates.
 */

/** A comment by its place in the text. */
export interface Comment {
  readonly kind: 'line' | 'block';
  readonly start: number;
  /** Behind its last character; a line comment ends before its line end. */
  readonly end: number;
}

/** Words behind which a slash begins a regular expression, though they end like a value. */
const BEFORE_REGEX = /(?:^|[^\w$.])(?:return|typeof|case|in|of|void|delete|throw|new|await|yield|else|do)$/;
/** A string, or what of one its line has. */
const STRING = /'(?:[^'\\\n]|\\[^])*'?|"(?:[^"\\\n]|\\[^])*"?/y;
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y;
const BLOCK_COMMENT = /\/\*[^]*?\*\//y;
const LINE_COMMENT = /\/\/[^\n]*/y;

/** All comments of a text, in order. */
export function commentsOf(text: string): Comment[] {
  const found: Comment[] = [];
  /** For each template that is open around what is read: how many braces are open in its `${`. */
  const braces: number[] = [];
  let at = 0;
  let code = '';
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  /** A string or a regular expression that begins here. */
  const valueAt = (char: string): string | undefined => {
    if (char === "'" || char === '"') return take(STRING);
    return char === '/' && mayBeRegex(code) ? take(REGEX) : undefined;
  };
  if (text.startsWith('#!')) at = Math.max(0, text.indexOf('\n'));
  while (at < text.length) {
    const char = text[at] ?? '';
    const line = char === '/' ? take(LINE_COMMENT) : undefined;
    const block = char === '/' && line === undefined ? take(BLOCK_COMMENT) : undefined;
    const comment = line ?? block;
    if (comment !== undefined) {
      found.push({ kind: line === undefined ? 'block' : 'line', start: at, end: at + comment.length });
      at += comment.length;
      continue;
    }
    const inTemplate = char === '`' || (char === '}' && braces.at(-1) === 0);
    if (inTemplate) {
      if (char === '}') braces.pop();
      at = behindTemplateText(text, at + 1);
      if (text[at - 1] === '{') braces.push(0);
      code = text[at - 1] === '{' ? '{' : '`';
      continue;
    }
    const depth = braces.length - 1;
    if (char === '{' && depth >= 0) braces[depth] = (braces[depth] ?? 0) + 1;
    if (char === '}' && depth >= 0) braces[depth] = (braces[depth] ?? 0) - 1;
    const whole = valueAt(char) ?? char;
    at += whole.length;
    // A string or an expression is a value, as a name is.
    if (whole.length > 1) code = 'x';
    else if (/\S/.test(char)) code = (code + char).slice(-12);
    else if (!code.endsWith(' ')) code += ' ';
  }
  return found;
}

/** Whether a slash behind this code begins a regular expression, and divides nothing. */
function mayBeRegex(code: string): boolean {
  const before = code.trimEnd();
  return before === '' || /[^\w$)\]`'"]$/.test(before) || BEFORE_REGEX.test(before);
}

/** Where the text of a template goes over into an expression (behind `${`), or ends (behind the backtick). */
function behindTemplateText(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '`') return at + 1;
    else if (text[at] === '$' && text[at + 1] === '{') return at + 2;
  }
  return text.length;
}

/** A text without its comments and blanks: what must stay the same, whatever becomes of comments. */
export function codeOf(text: string): string {
  let code = '';
  let at = 0;
  for (const { start, end } of commentsOf(text)) {
    code += text.slice(at, start);
    at = end;
  }
  return (code + text.slice(at)).replaceAll(/\s+/g, '');
}

/** Largest count in a counted repetition, `{n,m}`. */
const MAX_REPEAT = 300;
const MAX_DEPTH = 50;
/** Most repetitions directly after one another, as in `a{2}{3}`. */
const MAX_STACKED = 5;

/** Characters (UTF-16 units) from the first to the last. */
export type CharRange = readonly [from: number, to: number];

/** Syntax tree of a regular expression. */
export type RegexNode =
  | { readonly kind: 'char'; readonly ranges: readonly CharRange[] }
  | { readonly kind: 'start' | 'end' | 'empty' }
  | { readonly kind: 'seq' | 'alt'; readonly of: readonly RegexNode[] }
  | { readonly kind: 'repeat'; readonly of: RegexNode; readonly min: number; readonly max: number };

/** A pattern that is not supported or malformed; the message says why and where. */
export class RegexError extends Error {
  override readonly name = 'RegexError';
}

const MAX_CODE = 0xffff;
const ANY: readonly CharRange[] = [
  [0, 9],
  [11, MAX_CODE],
];
const DIGIT: readonly CharRange[] = [[48, 57]];
const WORD: readonly CharRange[] = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const SPACE: readonly CharRange[] = [
  [9, 13],
  [32, 32],
];
const CLASSES: Readonly<Record<string, readonly CharRange[]>> = {
  d: DIGIT,
  w: WORD,
  s: SPACE,
  D: without(DIGIT),
  W: without(WORD),
  S: without(SPACE),
};
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, a: 7 };
const NAMED: Readonly<Record<string, readonly CharRange[]>> = {
  alpha: [
    [65, 90],
    [97, 122],
  ],
  digit: DIGIT,
  alnum: [
    [48, 57],
    [65, 90],
    [97, 122],
  ],
  lower: [[97, 122]],
  upper: [[65, 90]],
  word: WORD,
  space: SPACE,
  xdigit: [
    [48, 57],
    [65, 70],
    [97, 102],
  ],
};

function without(ranges: readonly CharRange[]): CharRange[] {
  const rest: CharRange[] = [];
  let from = 0;
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (low > from) rest.push([from, low - 1]);
    from = Math.max(from, high + 1);
  }
  if (from <= MAX_CODE) rest.push([from, MAX_CODE]);
  return rest;
}

/** The same letters in the other case, too. */
function anyCase(ranges: readonly CharRange[]): readonly CharRange[] {
  const both: CharRange[] = [...ranges];
  for (const [from, to] of ranges) {
    const upper: CharRange = [Math.max(from, 65) + 32, Math.min(to, 90) + 32];
    const lower: CharRange = [Math.max(from, 97) - 32, Math.min(to, 122) - 32];
    for (const range of [upper, lower]) if (range[0] <= range[1]) both.push(range);
  }
  return both;
}

/** Reads a pattern. @throws RegexError */
export function parseRegex(pattern: string): RegexNode {
  return new Parser(pattern).parse();
}

class Parser {
  readonly #text: string;
  #at = 0;
  #ignoreCase = false;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): RegexNode {
    const node = this.#alternatives();
    if (this.#at < this.#text.length) throw this.#error('a ")" without "("');
    return node;
  }

  #alternatives(): RegexNode {
    const of = [this.#sequence()];
    while (this.#takes('|')) of.push(this.#sequence());
    return of.length === 1 && of[0] !== undefined ? of[0] : { kind: 'alt', of };
  }

  #sequence(): RegexNode {
    const of: RegexNode[] = [];
    for (;;) {
      const next = this.#text[this.#at];
      if (next === undefined || next === '|' || next === ')') break;
      of.push(this.#repeated(this.#atom()));
    }
    return { kind: 'seq', of };
  }

  #repeated(node: RegexNode): RegexNode {
    let repeated = node;
    let count = 0;
    for (let bounds = this.#bounds(); bounds !== undefined; bounds = this.#bounds()) {
      const [min, max] = bounds;
      // Lazy or greedy: whether there is a match does not depend on it.
      this.#takes('?');
      if (++count > MAX_STACKED) throw this.#error('repetitions of repetitions');
      repeated = { kind: 'repeat', of: repeated, min, max };
    }
    return repeated;
  }

  #bounds(): CharRange | undefined {
    if (this.#takes('*')) return [0, Number.POSITIVE_INFINITY];
    if (this.#takes('+')) return [1, Number.POSITIVE_INFINITY];
    if (this.#takes('?')) return [0, 1];
    if (this.#text[this.#at] !== '{') return undefined;
    const whole = /^\{\d{1,4}(?:,\d{0,4})?\}/.exec(this.#text.slice(this.#at, this.#at + 12))?.[0];
    if (whole === undefined) throw this.#error('a "{" that counts nothing; as itself it is "\\{"');
    this.#at += whole.length;
    return this.#counted(whole);
  }

  /** `{2}`, `{2,}` or `{2,3}`. */
  #counted(whole: string): CharRange {
    const [low = '', high = low] = whole.slice(1, -1).split(',');
    const min = Number(low);
    const max = high === '' ? Number.POSITIVE_INFINITY : Number(high);
    if (max < min || Math.max(min, high === '' ? 0 : max) > MAX_REPEAT)
      throw this.#error(`${whole} is out of bounds`);
    return [min, max];
  }

  #atom(): RegexNode {
    const char = this.#text[this.#at++] ?? '';
    switch (char) {
      case '(':
        return this.#group();
      case '[':
        return this.#char(this.#class());
      case '.':
        return { kind: 'char', ranges: ANY };
      case '^':
        return { kind: 'start' };
      case '$':
        return { kind: 'end' };
      case '\\':
        return this.#escape();
      case '*':
      case '+':
      case '?':
      case '{':
        throw this.#error(`a "${char}" with nothing before it`);
      default:
        return this.#char([[char.charCodeAt(0), char.charCodeAt(0)]]);
    }
  }

  #char(ranges: readonly CharRange[]): RegexNode {
    return { kind: 'char', ranges: this.#ignoreCase ? anyCase(ranges) : ranges };
  }

  #group(): RegexNode {
    const ignoreCase = this.#ignoreCase;
    if (this.#takes('?')) {
      const [whole = '', flags, , ending] =
        /^(?:([imsux]*)(?:-([imsux]+))?([:)])|P?<[A-Za-z_]\w*>)/.exec(
          this.#text.slice(this.#at, this.#at + 80),
        ) ?? [];
      if (whole === '') throw this.#error('a group of a kind that is not known here');
      if (flags !== undefined && /[mux]/.test(flags))
        throw this.#error(`the flags "${flags}" are not known here`);
      if (flags?.includes('i') === true) this.#ignoreCase = true;
      this.#at += whole.length;
      // Flags without a group of their own apply to the end of the enclosing group.
      if (ending === ')') return { kind: 'empty' };
    }
    if (++this.#depth > MAX_DEPTH) throw this.#error('too much in one another');
    const node = this.#alternatives();
    if (!this.#takes(')')) throw this.#error('a "(" without ")"');
    this.#depth--;
    this.#ignoreCase = ignoreCase;
    return node;
  }

  #escape(): RegexNode {
    const char = this.#text[this.#at];
    if (char === 'A' || char === 'z') {
      this.#at++;
      return { kind: char === 'A' ? 'start' : 'end' };
    }
    return this.#char(this.#escaped());
  }

  /** What is behind a backslash. */
  #escaped(): readonly CharRange[] {
    const char = this.#text[this.#at++];
    if (char === undefined) throw this.#error('a "\\" at the end');
    const known = CLASSES[char];
    if (known !== undefined) return known;
    const code = char === 'x' ? this.#hex() : (CONTROLS[char] ?? char.charCodeAt(0));
    if (char !== 'x' && CONTROLS[char] === undefined && /[A-Za-z0-9]/.test(char))
      throw this.#error(`"\\${char}" is not known here`);
    return [[code, code]];
  }

  #hex(): number {
    const [whole = '', two, braced] =
      /^(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,4})\})/.exec(this.#text.slice(this.#at, this.#at + 6)) ?? [];
    if (whole === '') throw this.#error('a "\\x" without two hexadecimal digits');
    this.#at += whole.length;
    return Number.parseInt(two ?? braced ?? '0', 16);
  }

  #class(): readonly CharRange[] {
    const negated = this.#takes('^');
    const ranges: CharRange[] = [];
    let first = true;
    while (first || this.#text[this.#at] !== ']') {
      if (this.#at >= this.#text.length) throw this.#error('a "[" without "]"');
      first = false;
      ranges.push(...this.#classItem());
    }
    this.#at++;
    if (!negated) return ranges;
    // Both cases are added before negating: `[^a]` with `(?i)` excludes `A` too.
    return without(this.#ignoreCase ? anyCase(ranges) : ranges);
  }

  #classItem(): readonly CharRange[] {
    const named = /^\[:\^?[a-z]+:\]/.exec(this.#text.slice(this.#at, this.#at + 14))?.[0];
    if (named !== undefined) return this.#namedClass(named);
    const from = this.#classChar();
    const dash = this.#text[this.#at] === '-' && this.#text[this.#at + 1] !== ']';
    const low = single(from);
    if (low === undefined || !dash) return from;
    this.#at++;
    const high = single(this.#classChar());
    if (high === undefined || high < low) throw this.#error('a range that goes backwards');
    return [[low, high]];
  }

  #namedClass(text: string): readonly CharRange[] {
    const negated = text[2] === '^';
    const ranges = NAMED[text.slice(negated ? 3 : 2, -2)];
    if (ranges === undefined) throw this.#error(`"${text}" is not known here`);
    this.#at += text.length;
    return negated ? without(ranges) : ranges;
  }

  #classChar(): readonly CharRange[] {
    const char = this.#text[this.#at++];
    if (char === undefined) throw this.#error('a "[" without "]"');
    if (char === '\\') return this.#escaped();
    if ((char === '&' || char === '~' || char === '-') && this.#text[this.#at] === char)
      throw this.#error(`"${char}${char}" in a class is not known here`);
    return [[char.charCodeAt(0), char.charCodeAt(0)]];
  }

  #takes(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #error(what: string): RegexError {
    return new RegexError(`${what}, at character ${this.#at}`);
  }
}

/** The one character of a class that has one. */
function single([first, ...more]: readonly CharRange[]): number | undefined {
  return first !== undefined && more.length === 0 && first[0] === first[1] ? first[0] : undefined;
}

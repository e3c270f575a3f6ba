import { type RegexNode as Node, parseRegex, type CharRange as Range } from '../../src/base/regex-syntax.ts';

/**
 * Whether JavaScript's engine, which tries one way after another, can need more steps for a regular
 * expression than the text has characters. Its ways through a text are the paths of an automaton with one
 * state for each character of the expression (Glushkov's). Two questions are asked of it (Weber and Seidl,
 * "On the degree of ambiguity of finite automata", 1991; Weideman et al., "Analyzing matching time behavior
 * of backtracking regular expression matchers", 2016):
 *
 * - Does a state reach itself by two paths of the same text, as in `(a+)+`? Then each more of that text
 *   doubles the ways.
 * - Do two states repeat the same text, and lead from one to the other by it, as in `\s*[^"]*`? Then where
 *   one ends and the other begins can be anywhere: quadratic, cubic with a third.
 *
 * An expression that is not bound to the start is tried from every character on, which is a repetition of
 * anything in front of it: `\s+$` is quadratic, too. What follows is not looked at but for one thing: where
 * the second repetition may as well be the end of the match, the first way succeeds and none is tried again
 * (`\d+`).
 */

/**
 * How often what is counted exactly, as in `\d{4}`, is written out; more often, and between two bounds,
 * counts as without bound.
 */
const MAX_COUNT = 4;
/** States of one expression; the questions cost up to their third power. */
const MAX_STATES = 160;

/**
 * What is wrong with a regular expression, as JavaScript has it.
 * @returns undefined when its time is in proportion to the text
 */
export function regexProblem(pattern: string, flags: string): string | undefined {
  let node: Node;
  try {
    node = readPattern(pattern, flags);
  } catch (error) {
    return `cannot be judged (${error instanceof Error ? error.message : String(error)})`;
  }
  const automaton = new Automaton(node, !flags.includes('y') && !isAnchored(node, flags.includes('m')));
  if (automaton.size > MAX_STATES) return `cannot be judged (more than ${MAX_STATES} characters and classes)`;
  return automaton.exponential() ?? automaton.polynomial();
}

/**
 * Reads what of JavaScript's syntax is also that of `base/regex-syntax.ts`.
 * @throws RegexError for the rest, such as look-around and back-references
 */
function readPattern(pattern: string, flags: string): Node {
  // RE2 reads them as classes that hold a "]".
  const plain = pattern.replaceAll('[^]', '[\\s\\S]');
  if (plain.replaceAll('\\\\', '').replaceAll('\\[', '').includes('[]')) throw new Error('an empty class');
  const hex = plain.replaceAll(/\\u([0-9a-fA-F]{4})/g, '\\x{$1}');
  const known = flags.includes('s') ? everyDot(hex) : hex;
  return parseRegex(flags.includes('i') ? `(?i)${known}` : known);
}

/** The flag `s`: dots that are neither escaped nor in a class stand for every character. */
function everyDot(pattern: string): string {
  let inClass = false;
  let text = '';
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at] ?? '';
    if (char === '\\') text += char + (pattern[++at] ?? '');
    else if (char === '.' && !inClass) text += '[\\s\\S]';
    else {
      if (char === '[') inClass = true;
      if (char === ']') inClass = false;
      text += char;
    }
  }
  return text;
}

/** Whether every way begins with `^`. */
function isAnchored(node: Node, multiline: boolean): boolean {
  if (multiline) return false;
  if (node.kind === 'start') return true;
  if (node.kind === 'alt') return node.of.every((one) => isAnchored(one, false));
  if (node.kind !== 'seq') return node.kind === 'repeat' && node.min > 0 && isAnchored(node.of, false);
  const first = node.of.find(({ kind }) => kind !== 'empty');
  return first !== undefined && isAnchored(first, false);
}

/** What of an expression can stand first and last, and in how many ways it can be nothing. */
interface Part {
  /** 0, 1, or 2 for more. */
  readonly empty: number;
  readonly first: readonly Way[];
  readonly last: readonly Way[];
  /** What can stand last where the match may end whatever follows. */
  readonly final: readonly Way[];
  readonly finalEmpty: boolean;
}

/** A state, and in how many ways it is reached without a character: 1, or 2 for more. */
interface Way {
  readonly state: number;
  readonly count: number;
}

const NOTHING: Part = { empty: 1, first: [], last: [], final: [], finalEmpty: true };

class Automaton {
  /**
   * For each state the characters that lead to it, as a set of intervals between all the bounds that the
   * expression has.
   */
  readonly #chars: bigint[] = [];
  /** For each state those that may follow, with in how many ways. */
  readonly #next: Map<number, number>[] = [];
  /** States after which the match may end whatever follows. */
  readonly #final: ReadonlySet<number>;
  readonly #bounds: readonly number[];
  readonly #text: string[] = [];

  constructor(node: Node, floating: boolean) {
    this.#bounds = boundsOf(node);
    const whole = this.#build(node);
    this.#final = new Set(whole.final.map(({ state }) => state));
    if (!floating) return;
    const any: Part = this.#state([[0, 0xffff]], 'the search from every character on');
    this.#link(any.last, any.first, 1);
    this.#link(any.last, whole.first, 1);
  }

  get size(): number {
    return this.#next.length;
  }

  /** A state that comes back to itself by two paths of one text. */
  exponential(): string | undefined {
    const found = [...this.#next.keys()].find((state) => this.#forks(state));
    return found === undefined ? undefined : `is exponential: ${this.#name(found)} is repeated in two ways`;
  }

  /** Two states that one text repeats, and leads from one to the other. */
  polynomial(): string | undefined {
    const loops = [...this.#next.keys()].filter((state) => this.#reachable(state).has(state));
    for (const from of loops) {
      const reached = this.#reachable(from);
      for (const to of loops)
        if (to !== from && reached.has(to) && !this.#final.has(to) && this.#sharesText(from, to))
          return `takes more than linear time: ${this.#name(from)} and ${this.#name(to)} can repeat the same text`;
    }
    return undefined;
  }

  #forks(state: number): boolean {
    const seen = new Set<string>();
    // Pairs of states that one text leads to from this one, and whether by two ways.
    const open: (readonly [pair: readonly number[], apart: boolean])[] = [[[state, state], false]];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      const [pair, wasApart] = at;
      for (const next of this.#moves(pair)) {
        const [a = 0, b = 0] = next;
        const ways = this.#nextOf(pair[0] ?? 0).get(a) ?? 0;
        const apart = wasApart || a !== b || ways > 1;
        if (apart && a === state && b === state) return true;
        const key = `${a},${b},${apart}`;
        if (!seen.has(key)) open.push([next, apart]);
        seen.add(key);
      }
    }
    return false;
  }

  /** Whether some text leads from `from` to itself and to `to`, and from `to` to itself. */
  #sharesText(from: number, to: number): boolean {
    const seen = new Set<string>();
    const wanted = `${from},${to},${to}`;
    const open: (readonly number[])[] = [[from, from, to]];
    for (let states = open.pop(); states !== undefined; states = open.pop())
      for (const next of this.#moves(states)) {
        const key = next.join();
        if (key === wanted) return true;
        if (!seen.has(key)) open.push(next);
        seen.add(key);
      }
    return false;
  }

  /** Where one character can lead from all of these states at once. */
  #moves(states: readonly number[]): number[][] {
    let moves: { readonly to: number[]; readonly chars: bigint }[] = [{ to: [], chars: -1n }];
    for (const state of states)
      moves = moves.flatMap(({ to, chars }) =>
        [...this.#nextOf(state).keys()]
          .map((next) => ({ to: [...to, next], chars: chars & (this.#chars[next] ?? 0n) }))
          .filter((move) => move.chars !== 0n),
      );
    return moves.map(({ to }) => to);
  }

  #nextOf(state: number): ReadonlyMap<number, number> {
    return this.#next[state] ?? new Map<number, number>();
  }

  #reachable(state: number): ReadonlySet<number> {
    const found = new Set<number>();
    const open = [...this.#nextOf(state).keys()];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (found.has(at)) continue;
      found.add(at);
      open.push(...this.#nextOf(at).keys());
    }
    return found;
  }

  #name(state: number): string {
    return this.#text[state] ?? '';
  }

  #build(node: Node): Part {
    switch (node.kind) {
      case 'char':
        return this.#state(node.ranges, rangesText(node.ranges));
      case 'seq':
        return node.of.reduce<Part>((before, one) => this.#sequence(before, this.#build(one)), NOTHING);
      case 'alt':
        return node.of.map((one) => this.#build(one)).reduce((one, other) => either(one, other));
      case 'repeat':
        return this.#repeat(node.of, node.min, node.max);
      case 'end':
        // Something must follow, or rather must not: that can fail.
        return { ...NOTHING, finalEmpty: false };
      default:
        return NOTHING;
    }
  }

  #state(ranges: readonly Range[], text: string): Part {
    const state = this.#next.push(new Map<number, number>()) - 1;
    this.#chars.push(bitsOf(ranges, this.#bounds));
    this.#text.push(text);
    const way = [{ state, count: 1 }];
    return { empty: 0, first: way, last: way, final: way, finalEmpty: false };
  }

  #sequence(before: Part, after: Part): Part {
    this.#link(before.last, after.first, 1);
    return {
      empty: many(before.empty * after.empty),
      first: [...before.first, ...times(after.first, before.empty)],
      last: [...after.last, ...times(before.last, after.empty)],
      final: [...after.final, ...(after.finalEmpty ? before.final : [])],
      finalEmpty: before.finalEmpty && after.finalEmpty,
    };
  }

  #repeat(of: Node, min: number, max: number): Part {
    if (max === 1) {
      const once = this.#build(of);
      return min === 1 ? once : either(NOTHING, { ...once, empty: 0 });
    }
    const written = min === max && max <= MAX_COUNT;
    let whole = NOTHING;
    for (let count = 0; count < (written ? min : Math.min(min, 1)); count++)
      whole = this.#sequence(whole, this.#build(of));
    return written ? whole : this.#sequence(whole, this.#loop(of, min));
  }

  #loop(of: Node, min: number): Part {
    const once = this.#build(of);
    // A turn that takes no character ends a repetition, but those that must be: which of them take one can be
    // chosen.
    this.#link(once.last, once.first, once.empty > 0 && min > 1 ? 2 : 1);
    return { ...once, empty: 1, finalEmpty: true };
  }

  #link(from: readonly Way[], to: readonly Way[], ways: number): void {
    for (const before of from)
      for (const after of to) {
        const next = this.#next[before.state];
        const known = next?.get(after.state) ?? 0;
        next?.set(after.state, many(known + before.count * after.count * ways));
      }
  }
}

function either(one: Part, other: Part): Part {
  return {
    empty: many(one.empty + other.empty),
    first: [...one.first, ...other.first],
    last: [...one.last, ...other.last],
    final: [...one.final, ...other.final],
    finalEmpty: one.finalEmpty || other.finalEmpty,
  };
}

function times(ways: readonly Way[], factor: number): Way[] {
  return factor === 0 ? [] : ways.map(({ state, count }) => ({ state, count: many(count * factor) }));
}

function many(count: number): number {
  return Math.min(count, 2);
}

/** Where a range begins or has ended. */
function boundsOf(node: Node): number[] {
  const bounds = new Set<number>([0]);
  const visit = (part: Node): void => {
    if (part.kind === 'char')
      for (const [from, to] of part.ranges) {
        bounds.add(from);
        bounds.add(to + 1);
      }
    else if (part.kind === 'repeat') visit(part.of);
    else if (part.kind === 'seq' || part.kind === 'alt') part.of.forEach(visit);
  };
  visit(node);
  return [...bounds].sort((a, b) => a - b);
}

function bitsOf(ranges: readonly Range[], bounds: readonly number[]): bigint {
  let bits = 0n;
  bounds.forEach((bound, index) => {
    if (ranges.some(([from, to]) => bound >= from && bound <= to)) bits |= 1n << BigInt(index);
  });
  return bits;
}

function rangesText(ranges: readonly Range[]): string {
  const char = (code: number) =>
    code > 32 && code < 127 ? String.fromCharCode(code) : `\\x${code.toString(16)}`;
  const text = ranges
    .slice(0, 3)
    .map(([from, to]) => (from === to ? char(from) : `${char(from)}-${char(to)}`));
  return `[${text.join('')}${ranges.length > 3 ? '…' : ''}]`;
}

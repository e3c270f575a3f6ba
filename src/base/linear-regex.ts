import { type RegexNode, parseRegex, type CharRange, RegexError } from './regex-syntax.ts';

/**
 * Regular expressions that somebody else has written. JavaScript's own engine backtracks: `(a+)+$` can stop a
 * process for minutes. These are compiled to a nondeterministic automaton whose sets of states are cached
 * when they are first reached, so that matching takes time in proportion to the length of the text (and, at
 * worst, of the pattern). The syntax is that of RE2 and Rust's `regex` as far as paths need it: literals,
 * `.`, classes, groups, alternation, repetition, `^ $ \A \z`, `(?i)`; no look-around, no back-references, no
 * word boundaries.
 */

/** Most steps that a pattern may compile to; a longer one is refused. */
const MAX_STEPS = 500;
/**
 * Most sets of states that are cached, their steps in all, and ways from one to another: some 0.5 MiB for one
 * expression, whatever is matched with it. Others are worked out each time.
 */
const MAX_SETS = 500;
const MAX_SET_STEPS = 16_384;
const MAX_WAYS = 4096;

type Step =
  | { readonly op: 'char'; readonly ranges: readonly CharRange[]; next: number }
  | { readonly op: 'split'; next: number; other: number }
  | { readonly op: 'start' | 'end'; next: number }
  | { readonly op: 'match' };

/** A compiled pattern. */
export interface LinearRegex {
  /** Steps that it was compiled to: so much it costs to be made. */
  readonly size: number;
  /**
   * Whether it matches anywhere in `text`, which is looked at one character (UTF-16 unit) at a time.
   * @param effort budget of work, which is reduced; once it is used up the answer is false, even if the text
   * would match
   */
  test(text: string, effort?: Effort): boolean;
}

/**
 * Budget of work that several expressions share, in steps of an automaton of about 50 ns each; below zero:
 * used up.
 */
export interface Effort {
  left: number;
}

/** Cost of starting to match one expression, in steps. */
const BEGINNING = 8;
/** Characters per step while each leads to a cached set: a look-up is that much cheaper than a step. */
const LOOK_UPS = 4;
/** Cost of a new set beside its steps, in steps. */
const NEW_SET = 4;
const NO_END: Effort = { left: Number.POSITIVE_INFINITY };

/** Compiles a pattern. @throws RegexError */
export function linearRegex(pattern: string): LinearRegex {
  return new Automaton(compile(parseRegex(pattern)));
}

function compile(node: RegexNode): Step[] {
  const steps: Step[] = [];
  const add = (step: Step): number => {
    if (steps.length >= MAX_STEPS) throw new RegexError('it is too large');
    return steps.push(step) - 1;
  };
  // Built from the end of the pattern, because each step refers to the one that follows it.
  const build = (part: RegexNode, next: number): number => {
    switch (part.kind) {
      case 'empty':
        return next;
      case 'char':
        return add({ op: 'char', ranges: part.ranges, next });
      case 'start':
      case 'end':
        return add({ op: part.kind, next });
      case 'seq':
        return part.of.reduceRight((following, child) => build(child, following), next);
      case 'alt':
        return part.of
          .map((child) => build(child, next))
          .reduceRight((other, one) => add({ op: 'split', next: one, other }));
      default:
        return buildRepeat(part, next);
    }
  };
  const buildRepeat = ({ of, min, max }: Extract<RegexNode, { kind: 'repeat' }>, next: number): number => {
    let entry = next;
    if (max === Number.POSITIVE_INFINITY) {
      const loop: Step = { op: 'split', next: 0, other: next };
      entry = add(loop);
      loop.next = build(of, entry);
    } else {
      for (let count = min; count < max; count++) {
        const inner = build(of, entry);
        entry = add({ op: 'split', next: inner, other: next });
      }
    }
    for (let count = 0; count < min; count++) entry = build(of, entry);
    return entry;
  };
  const match = add({ op: 'match' });
  const start = build(node, match);
  // The first step is where it begins.
  add({ op: 'split', next: start, other: start });
  return steps;
}

/** States in which the automaton may be after some text. */
interface StateSet {
  /** Steps that wait for a character, or for the end. */
  readonly steps: readonly number[];
  readonly matched: boolean;
  /** It matches when the text ends here. */
  readonly atEnd: boolean;
  readonly next: Map<number, StateSet>;
}

class Automaton implements LinearRegex {
  readonly #steps: readonly Step[];
  readonly #begin: number;
  readonly #sets = new Map<string, StateSet>();
  readonly #first: StateSet;
  /** Steps of all sets, and ways between them. */
  #setSteps = 0;
  #ways = 0;
  /** The round in which each step was last reached. */
  readonly #met: Uint32Array;
  #round = 0;

  constructor(steps: readonly Step[]) {
    this.#steps = steps;
    this.#begin = steps.length - 1;
    this.#met = new Uint32Array(steps.length);
    this.#first = this.#setOf(this.#closure([this.#begin], true, false), true);
  }

  get size(): number {
    return this.#steps.length;
  }

  test(text: string, effort = NO_END): boolean {
    effort.left -= BEGINNING + text.length / LOOK_UPS;
    if (effort.left < 0) return false;
    let set = this.#first;
    for (let at = 0; at < text.length; at++) {
      if (set.matched) return true;
      const code = text.charCodeAt(at);
      let next = set.next.get(code);
      if (next === undefined) {
        const steps = this.#advance(set.steps, code);
        effort.left -= steps.length * NEW_SET;
        if (effort.left < 0) return false;
        next = this.#known(steps);
        if (next === undefined) return this.#simulate(steps, text, at + 1, effort);
        if (this.#ways++ < MAX_WAYS) set.next.set(code, next);
      }
      set = next;
    }
    return set.matched || set.atEnd;
  }

  /** The same without remembering anything. */
  #simulate(from: readonly number[], text: string, start: number, effort: Effort): boolean {
    let steps = from;
    for (let at = start; at < text.length; at++) {
      if (this.#matches(steps)) return true;
      effort.left -= steps.length;
      if (effort.left < 0) return false;
      steps = this.#advance(steps, text.charCodeAt(at));
    }
    return this.#matches(this.#closure(steps, false, true));
  }

  #advance(steps: readonly number[], code: number): number[] {
    const reached: number[] = [];
    for (const at of steps) {
      const step = this.#steps[at];
      if (step?.op === 'char' && isIn(code, step.ranges)) reached.push(step.next);
    }
    // A match may begin anywhere.
    reached.push(this.#begin);
    return this.#closure(reached, false, false);
  }

  /** The set of these steps; undefined when it is a new one and there are too many. */
  #known(steps: number[]): StateSet | undefined {
    const key = steps.sort((a, b) => a - b).join();
    let set = this.#sets.get(key);
    if (set !== undefined || this.#sets.size >= MAX_SETS) return set;
    if (this.#setSteps + steps.length > MAX_SET_STEPS) return undefined;
    this.#setSteps += steps.length;
    set = this.#setOf(steps, false);
    this.#sets.set(key, set);
    return set;
  }

  #setOf(steps: readonly number[], atStart: boolean): StateSet {
    const atEnd = this.#matches(this.#closure(steps, atStart, true));
    return { steps, matched: this.#matches(steps), atEnd, next: new Map() };
  }

  #matches(steps: readonly number[]): boolean {
    for (const at of steps) if (this.#steps[at]?.op === 'match') return true;
    return false;
  }

  /** Every step that is reached without a character and waits for one, or for the end. */
  #closure(from: readonly number[], atStart: boolean, atEnd: boolean): number[] {
    const round = ++this.#round;
    const met = this.#met;
    const open = [...from];
    const found: number[] = [];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (met[at] === round) continue;
      met[at] = round;
      const step = this.#steps[at];
      if (step?.op === 'split') open.push(step.next, step.other);
      else found.push(at);
      if ((step?.op === 'start' && atStart) || (step?.op === 'end' && atEnd)) open.push(step.next);
    }
    // The rounds' numbers are 32 bits wide and begin anew.
    if (round === 0xffffffff) {
      this.#round = 0;
      met.fill(0);
    }
    return found;
  }
}

function isIn(code: number, ranges: readonly CharRange[]): boolean {
  for (const [from, to] of ranges) if (code >= from && code <= to) return true;
  return false;
}

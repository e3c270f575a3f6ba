import { type Effort, type LinearRegex, linearRegex } from '../../base/linear-regex.ts';
import { textBefore } from '../../base/text.ts';
import type { NamedMatch, PathMatch, RouteMatch, Routing, TextMatch } from '../../policy/routing/routing.ts';
import type { Field } from '../http/fields.ts';

/** What of a request decides its rule. */
export interface RoutedRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly fields: readonly Field[];
}

/** The rule of a request. */
export interface RoutedTo {
  /** Index in `Routing.rules`. */
  readonly rule: number;
  /** The prefix of the path that has matched; empty where the path was matched otherwise, or not at all. */
  readonly prefix: string;
}

/** A longer path is not compared with regular expressions: none is meant for it. */
const MAX_PATH = 2048;
/** Query parameters of one request that are looked at. */
const MAX_PARAMETERS = 256;

/** A request, with what several matches ask for worked out once. */
class Asked {
  readonly path: string;
  readonly method: string;
  readonly effort: Effort;
  readonly #request: RoutedRequest;
  #fields: Map<string, string[]> | undefined;
  #parameters: Map<string, string> | undefined;

  constructor(request: RoutedRequest, effort: Effort) {
    this.#request = request;
    this.effort = effort;
    this.path = textBefore(request.path, '?');
    this.method = request.method;
  }

  /** All values of a field; undefined where it is not there. */
  values(name: string): readonly string[] | undefined {
    if (this.#fields === undefined) {
      this.#fields = new Map();
      for (const { lower, value } of this.#request.fields) {
        const known = this.#fields.get(lower);
        if (known === undefined) this.#fields.set(lower, [value]);
        else known.push(value);
      }
    }
    return this.#fields.get(name);
  }

  /** The first value of a query parameter. */
  parameter(name: string): string | undefined {
    this.#parameters ??= parametersOf(this.#request.path);
    return this.#parameters.get(name);
  }
}

type Test = (asked: Asked) => boolean;

const NO_END: Effort = { left: Number.POSITIVE_INFINITY };

/** The matches of a Service's routes, compiled, in the order of their precedence. */
export class RoutingTable {
  readonly #entries: readonly { readonly test: Test; readonly to: RoutedTo }[];
  /** Whether it has regular expressions, so that finding a rule may take long. */
  readonly hasExpressions: boolean;
  /** All requests go to this rule. */
  readonly #only: RoutedTo | undefined;

  /** @throws RegexError for an expression that is none; the reader of the routes has checked that */
  constructor({ entries }: Pick<Routing, 'entries'>) {
    this.#entries = entries.map(({ match, rule }) => ({
      test: testOf(match),
      to: { rule, prefix: match.path?.kind === 'prefix' ? match.path.value : '' },
    }));
    this.hasExpressions = entries.some(({ match }) => isDear(match));
    const [first] = entries;
    const any = first !== undefined && isAny(first.match);
    this.#only = any ? this.#entries[0]?.to : undefined;
  }

  /**
   * The rule of a request: that of the first match that it meets; undefined where it meets none.
   * @param effort what that may cost; used up (`left` is below 0), there is no answer
   */
  find(request: RoutedRequest, effort = NO_END): RoutedTo | undefined {
    if (this.#only !== undefined) return this.#only;
    const asked = new Asked(request, effort);
    for (const { test, to } of this.#entries) {
      if (test(asked)) return to;
      // What was given up is no answer: the next match is not taken instead of it.
      if (asked.effort.left < 0) return undefined;
    }
    return undefined;
  }
}

function isAny({ path, method, headers, query }: RouteMatch): boolean {
  return path === undefined && method === undefined && headers.length === 0 && query.length === 0;
}

function isDear({ path, headers, query }: RouteMatch): boolean {
  return path?.kind === 'regex' || [...headers, ...query].some(({ value }) => value.kind === 'regex');
}

/**
 * A Service's ports and the protocols of its clients share the matches of its routes: compiled for each, the
 * expressions of a Service with 100 ports would be 300 times as dear as one reader of routes has seen.
 */
const tests = new WeakMap<RouteMatch, Test>();

function testOf(match: RouteMatch): Test {
  let test = tests.get(match);
  if (test === undefined) tests.set(match, (test = compiled(match)));
  return test;
}

function compiled({ path, method, headers, query }: RouteMatch): Test {
  const parts: Test[] = [];
  if (method !== undefined) parts.push((asked) => asked.method === method);
  if (path !== undefined) parts.push(pathTest(path));
  for (const one of headers) parts.push(headerTest(one));
  for (const one of query) parts.push(parameterTest(one));
  return (asked) => {
    for (const test of parts) if (!test(asked)) return false;
    return true;
  };
}

function pathTest(path: PathMatch): Test {
  switch (path.kind) {
    case 'exact':
      return (asked) => asked.path === path.value;
    case 'prefix': {
      const { value } = path;
      const { length } = value;
      return (asked) =>
        asked.path.startsWith(value) && (asked.path.length === length || asked.path[length] === '/');
    }
    default: {
      const regex = linearRegex(path.regex);
      return (asked) => asked.path.length <= MAX_PATH && regex.test(asked.path, asked.effort);
    }
  }
}

/** A field that is there several times matches if one of its values does. */
function headerTest({ name, value }: NamedMatch): Test {
  const regex = regexOf(value);
  return (asked) => asked.values(name)?.some((one) => isMatch(one, value, regex, asked.effort)) ?? false;
}

function parameterTest({ name, value }: NamedMatch): Test {
  const regex = regexOf(value);
  return (asked) => {
    const found = asked.parameter(name);
    return found !== undefined && isMatch(found, value, regex, asked.effort);
  };
}

function regexOf(value: TextMatch): LinearRegex | undefined {
  return value.kind === 'regex' ? linearRegex(value.regex) : undefined;
}

function isMatch(text: string, value: TextMatch, regex: LinearRegex | undefined, effort: Effort): boolean {
  if (value.kind === 'exact') return text === value.value;
  return text.length <= MAX_PATH && regex?.test(text, effort) === true;
}

/** Query parameters as forms have them (`+` is a blank); of several with one name the first counts. */
function parametersOf(path: string): Map<string, string> {
  const found = new Map<string, string>();
  const mark = path.indexOf('?');
  if (mark < 0) return found;
  for (const part of path.slice(mark + 1).split('&', MAX_PARAMETERS)) {
    const at = part.indexOf('=');
    const name = decoded(at < 0 ? part : part.slice(0, at));
    if (!found.has(name)) found.set(name, at < 0 ? '' : decoded(part.slice(at + 1)));
  }
  return found;
}

function decoded(text: string): string {
  const plain = text.replaceAll('+', ' ');
  if (!plain.includes('%')) return plain;
  try {
    return decodeURIComponent(plain);
  } catch (error) {
    if (error instanceof URIError) return plain;
    throw error;
  }
}

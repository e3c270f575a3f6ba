import { contractName } from './contract-names.ts';
import { regexProblem } from './regex-cost.ts';

/** Rules of our own for oxlint (.oxlintrc.json). */

/** As much of an ESTree node as is looked at. */
interface EsNode {
  readonly type: string;
  readonly name?: string;
  readonly value?: unknown;
  readonly regex?: { readonly pattern: string; readonly flags: string };
  readonly callee?: EsNode;
  readonly object?: EsNode;
  readonly computed?: boolean;
  readonly operator?: string;
  readonly argument?: EsNode;
  readonly left?: EsNode;
  readonly parent?: EsNode;
  readonly property?: EsNode;
  readonly arguments?: readonly EsNode[];
  readonly id?: EsNode;
  readonly init?: EsNode | null;
  readonly expression?: EsNode;
  readonly properties?: readonly EsNode[];
}

interface Context {
  report(problem: { readonly node: EsNode; readonly message: string }): void;
}

/** Methods of strings that compile what they are given, if it is text. */
const COMPILING = new Set(['match', 'matchAll', 'search']);

/** What is wrong with a call; undefined when nothing is. */
function callProblem({ callee, arguments: [pattern, flags] = [] }: EsNode): string | undefined {
  if (callee?.type === 'Identifier' && callee.name === 'RegExp') {
    if (typeof pattern?.value !== 'string') return 'RegExp() of what is not a constant';
    const problem = regexProblem(pattern.value, typeof flags?.value === 'string' ? flags.value : '');
    return problem && `RegExp("${pattern.value}") ${problem}`;
  }
  if (callee?.type !== 'MemberExpression' || !COMPILING.has(callee.property?.name ?? '')) return undefined;
  // A constant of the module is one that a literal has made, and that was judged there.
  const known = pattern?.regex !== undefined || /^[A-Z][A-Z0-9_]*$/.test(pattern?.name ?? '');
  return known ? undefined : `${callee.property?.name}() compiles a regular expression that cannot be judged`;
}

/**
 * No text of a stranger may cost more than its length, so every regular expression in `src/` is one whose
 * time is linear, and is written down where it can be judged. What cannot be is read by index, or by
 * `src/base/linear-regex.ts` where people write the expression.
 */
const linearRegexes = {
  meta: { type: 'problem', docs: { description: 'Regular expressions must be linear in the text.' } },
  create(context: Context) {
    const judgeCall = (node: EsNode) => {
      const message = callProblem(node);
      if (message !== undefined) context.report({ node, message });
    };
    return {
      Literal(node: EsNode) {
        if (node.regex === undefined) return;
        const { pattern, flags } = node.regex;
        const problem = regexProblem(pattern, flags);
        if (problem !== undefined) context.report({ node, message: `/${pattern}/${flags} ${problem}` });
      },
      CallExpression: judgeCall,
      NewExpression: judgeCall,
    };
  },
};

/** The name of what is read from: of `metadata.annotations`, and of `metadata?.annotations ?? {}`. */
function nameOf(node: EsNode | null | undefined): string | undefined {
  const inner = node?.type === 'LogicalExpression' ? node.left : node;
  const plain = inner?.type === 'ChainExpression' ? inner.expression : inner;
  return plain?.property?.name ?? plain?.name;
}

/** An annotation is read by `readAnnotation` of `src/api/annotations.ts`, where each has a limit. */
const readAnnotations = {
  meta: { type: 'problem', docs: { description: 'Annotations are read where they have a limit.' } },
  create(context: Context) {
    return {
      MemberExpression(node: EsNode) {
        const { object, computed, parent } = node;
        const name = object?.property?.name ?? object?.name;
        if (computed !== true || name !== 'annotations') return;
        const written =
          parent?.operator === 'delete' || (parent?.type === 'AssignmentExpression' && parent.left === node);
        if (!written) context.report({ node, message: 'annotations are read by readAnnotation()' });
      },
      VariableDeclarator(node: EsNode) {
        if (node.id?.type !== 'ObjectPattern' || nameOf(node.init) !== 'annotations') return;
        // What is called `_` is taken out, not read.
        const read = node.id.properties?.some(
          ({ type, value }) => type === 'Property' && (value as EsNode | undefined)?.name !== '_',
        );
        if (read === true) context.report({ node, message: 'annotations are read by readAnnotation()' });
      },
    };
  },
};

/**
 * `void promise.then(f)` says that nobody waits, and leaves a rejection to nobody: the process ends with it,
 * maybe while it is being stopped. Whoever means it says what becomes of a rejection, by a second argument or
 * `catch`.
 */
const handledThen = {
  meta: {
    type: 'problem',
    docs: { description: 'A promise that nobody waits for has its rejection handled.' },
  },
  create(context: Context) {
    return {
      UnaryExpression(node: EsNode) {
        const { operator, argument } = node;
        if (operator !== 'void' || argument?.callee?.property?.name !== 'then') return;
        if ((argument.arguments ?? []).length < 2)
          context.report({ node, message: 'void ….then(f): a rejection would end the process' });
      },
    };
  },
};

/** Labels, annotations, groups and other names of the contract are spelt in `src/api`, and nowhere else. */
const contractNames = {
  meta: { type: 'problem', docs: { description: 'The contract has one home: src/api.' } },
  create(context: Context) {
    const judge = (node: EsNode, text: unknown) => {
      const name = typeof text === 'string' ? contractName(text) : undefined;
      if (name === undefined) return;
      const instead = 'take the constant, or the reader or writer, of src/api';
      context.report({ node, message: `"${name}" is a name of the contract: ${instead}` });
    };
    return {
      // Of a regular expression: what it says without the signs that make its dots and slashes literal.
      Literal: (node: EsNode) => judge(node, node.regex?.pattern.replaceAll('\\', '') ?? node.value),
      TemplateElement: (node: EsNode) => judge(node, (node.value as { readonly cooked?: string }).cooked),
    };
  },
};

export default {
  meta: { name: 'linkspan' },
  rules: {
    'linear-regexes': linearRegexes,
    'read-annotations': readAnnotations,
    'handled-then': handledThen,
    'contract-names': contractNames,
  },
};

import { type Document, isCollection, LineCounter, parseDocument, visit } from 'yaml';

/** Longest text that is read, in characters: no Secret or ConfigMap holds more (1 MiB). */
const MAX_YAML = 1024 * 1024;

/**
 * A YAML text as the library has it, with its comments and places; its `errors` say what is wrong. For its
 * own, pretty messages the library reads the line again for each error: a line of a hundred thousand quotes
 * has as many, and took seconds.
 * @throws Error for a text that is longer than what is read
 */
export function yamlDocument(text: string): { readonly document: Document; readonly lines: LineCounter } {
  if (text.length > MAX_YAML)
    throw new Error(`${text.length} characters are more than the ${MAX_YAML} that are read`);
  const lines = new LineCounter();
  return { document: parseDocument(text, { prettyErrors: false, lineCounter: lines }), lines };
}

/**
 * The value of a YAML text that somebody else has written. Keys that are lists or maps are refused: nobody
 * needs them, and the library turns each into text again for every level of nesting: 100 bytes of `? ? ?`
 * keep it busy for longer than anybody waits.
 * @throws Error that says what is wrong, and where
 */
export function parseYaml(text: string): unknown {
  const { document, lines } = yamlDocument(text);
  const [problem] = document.errors;
  if (problem !== undefined) {
    const { line, col } = lines.linePos(problem.pos[0]);
    throw new Error(`${problem.message} at line ${line}, column ${col}`);
  }
  return yamlValue(document);
}

/** The value of a document, as `parseYaml` gives it. @throws Error for a key that is a list or a map */
export function yamlValue(document: Document): unknown {
  visit(document, {
    Pair: (_, { key }) => {
      if (isCollection(key)) throw new Error('a key that is no plain value');
    },
  });
  return document.toJS();
}

import { type Document, isCollection, parseDocument, visit } from 'yaml';

/** Longest text that is read, in characters: no Secret or ConfigMap holds more (1 MiB). */
const MAX_YAML = 1024 * 1024;

/**
 * The value of a YAML text that somebody else has written. Keys that are lists or maps are refused: nobody
 * needs them, and the library turns each into text again for every level of nesting: 100 bytes of `? ? ?`
 * keep it busy for longer than anybody waits.
 * @throws Error that says what is wrong, and where
 */
export function parseYaml(text: string): unknown {
  if (text.length > MAX_YAML)
    throw new Error(`${text.length} characters are more than the ${MAX_YAML} that are read`);
  const document = parseDocument(text);
  const [problem] = document.errors;
  if (problem !== undefined) throw problem;
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

const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;

/**
 * A command line of these words for a shell: what other clusters have named stands there, and people copy
 * it. What begins with `-` is quoted as any other: verbs take it for a flag, and refuse it.
 */
export function commandLine(...words: readonly string[]): string {
  return words
    .map((word) => (PLAIN.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`))
    .join(' ');
}

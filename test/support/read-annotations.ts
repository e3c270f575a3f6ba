import { AnnotationReader } from '../../src/api/annotation-reader.ts';

/**
 * What a reader of annotations finds, under a name of the test's (left out where it is nothing), and says.
 */
export function readUnder<N extends string, T>(
  name: N,
  read: (reader: AnnotationReader) => T | undefined,
  annotations?: Readonly<Record<string, string>>,
): { readonly [K in N]?: T } & { readonly problems: readonly string[] } {
  const reader = new AnnotationReader(annotations);
  const value = read(reader);
  const found = value === undefined ? {} : { [name]: value };
  return { ...found, problems: reader.problems } as unknown as { readonly [K in N]?: T } & {
    readonly problems: readonly string[];
  };
}

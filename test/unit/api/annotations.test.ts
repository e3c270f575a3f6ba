import { expect } from 'chai';
import {
  ANNOTATION_LIMITS,
  type AnnotationName,
  MAX_ANNOTATION,
  overlongAnnotations,
  readAnnotation,
} from '../../../src/api/annotations.ts';

/**
 * A tenant writes whatever the API server takes, 256 KiB, and gateways read it at each update. With the
 * limits taken out every test of texts passed as before.
 */
describe('a text that somebody else has written into an annotation', () => {
  for (const [name, limit] of [
    ...(Object.entries(ANNOTATION_LIMITS) as [AnnotationName, number][]),
    ['members.linkspan.dev/west', MAX_ANNOTATION] as const,
  ])
    it(`${name} is read up to ${limit} characters; a longer one is there and says nothing`, () => {
      const [longest, longer] = ['x'.repeat(limit), 'x'.repeat(limit + 1)];
      expect(readAnnotation({ [name]: longest }, name)).to.equal(longest);
      expect(readAnnotation({ [name]: longer }, name)).to.equal('');
      expect(overlongAnnotations({ [name]: longest })).to.deep.equal([]);
      expect(overlongAnnotations({ [name]: longer })).to.deep.equal([
        `${name} has ${limit + 1} characters, and ${limit} are allowed: it counts as empty`,
      ]);
    });

  it('is none where it is no text', () => {
    const annotations = { 'linkspan.dev/rate-limit': 7 } as unknown as Record<string, string>;
    expect(readAnnotation(annotations, 'linkspan.dev/rate-limit')).to.equal(undefined);
    expect(readAnnotation(undefined, 'linkspan.dev/rate-limit')).to.equal(undefined);
  });
});

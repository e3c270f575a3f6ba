import { expect } from 'chai';
import fc from 'fast-check';
import {
  readableNamespaces,
  readableNamespacesAnnotation,
  withoutReadableNamespaces,
} from '../../../../src/api/link/readable-namespaces.ts';

describe('where an account may look', () => {
  it('is read as it was written, each namespace once', () =>
    fc.assert(
      fc.property(
        fc.option(fc.array(fc.stringMatching(/^[a-z][a-z0-9]{0,9}$/)), { nil: undefined }),
        (namespaces) => {
          const annotations = { other: 'x', ...readableNamespacesAnnotation(namespaces) };
          const read = namespaces && [...new Set(namespaces)];
          expect(readableNamespaces(annotations)).to.deep.equal(read);
          expect(withoutReadableNamespaces(annotations)).to.deep.equal({ other: 'x' });
        },
      ),
    ));
});

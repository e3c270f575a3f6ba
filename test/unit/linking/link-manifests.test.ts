import { expect } from 'chai';
import { READABLE_NAMESPACES } from '../../../src/api/names.ts';
import { linkManifests } from '../../../src/linking/link-manifests.ts';
import { type LinkObject, parseLink } from '../../../src/api/link/link-schema.ts';
import { linkFacts } from '../../support/link-facts.ts';

/**
 * A Link whose account may read some namespaces has to say so, or its controller asks for all and gets
 * nothing.
 */
describe('where a Link may read', () => {
  const link = (change: Parameters<typeof linkFacts>[0]): LinkObject => {
    const found = linkManifests(linkFacts(change)).find(({ kind }) => kind === 'Link');
    if (found === undefined) throw new Error('no Link');
    return found as LinkObject;
  };
  const annotated = (text: string): LinkObject => {
    const made = link({});
    return { ...made, metadata: { ...made.metadata, annotations: { [READABLE_NAMESPACES]: text } } };
  };

  it('goes from the account by way of the Link to the controller', () => {
    const verdict = parseLink(link({ readableNamespaces: ['shop', 'pay'] }));
    expect(verdict.ok && verdict.link.readableNamespaces).to.deep.equal(['shop', 'pay']);
  });

  it('is everywhere where nothing is said', () => {
    const verdict = parseLink(link({}));
    expect(verdict).to.have.nested.property('link.readableNamespaces', undefined);
  });

  for (const text of ['', ' , ', 'shop,*', 'Shop', 'a'.repeat(70_000)])
    it(`makes the Link invalid, rather than wider, when it is no list of names: ${text.slice(0, 10)}`, () => {
      const verdict = parseLink(annotated(text));
      expect(verdict.ok).to.equal(false);
    });
});

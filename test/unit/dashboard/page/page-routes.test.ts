import { expect } from 'chai';
import { changedQuery, pageHref, placeOf, titleOf } from '../../../../src/dashboard/page/page-routes.ts';

const placeAt = (href: string) => placeOf(new URL(href, 'http://127.0.0.1'));

describe('addresses of pages', () => {
  it('lead back to where they were made, whatever is in a name', () => {
    for (const parts of [
      ['east', 'west'],
      ['arn:aws:eks:eu/one', 'a.b'],
      ['-', 'ünï cödé?#%'],
    ]) {
      const { page, parts: read, query } = placeAt(pageHref('links', parts, { q: 'a&b', none: '' }));
      expect([page, read, [...query]]).to.deep.equal(['links', parts, [['q', 'a&b']]]);
    }
  });

  it('are none where there is no such page, or too much behind it', () => {
    expect(placeAt('/').page).to.equal('now');
    expect(placeAt('/map/').page).to.equal('map');
    for (const href of ['/nothing', '/links/east', '/links/a/b/c', '/now/x', '/constructor'])
      expect(placeAt(href).page, href).to.equal(undefined);
    expect(placeAt('/links/%E0/x').parts).to.deep.equal(['%E0', 'x']);
  });

  it('keep what else was chosen', () => {
    const query = new URLSearchParams('q=web&failing=yes');
    expect(changedQuery(query, 'q', '')).to.equal('?failing=yes');
    expect(changedQuery(query, 'sort', '-rps')).to.equal('?q=web&failing=yes&sort=-rps');
    expect(changedQuery(new URLSearchParams('q=web'), 'q', '')).to.equal('');
  });

  it('are the title of the window', () => {
    expect(titleOf(placeAt('/links/east/west'))).to.equal('Links / east / west · Linkspan');
    expect(titleOf(placeAt('/nothing'))).to.equal('Not found · Linkspan');
  });
});

import { expect } from 'chai';
import { GO_KEYS, KEY_HELP, keyAct } from '../../../../src/dashboard/page/key-map.ts';
import { PAGES } from '../../../../src/dashboard/page/page-routes.ts';

const act = (key: string, after = '', more: { modified?: boolean; typing?: boolean } = {}) =>
  keyAct({ key, modified: false, typing: false, ...more }, after);

describe('keys of the page', () => {
  it('lead to every page, and all of them are listed', () => {
    expect(Object.values(GO_KEYS).toSorted()).to.deep.equal(Object.keys(PAGES).toSorted());
    const listed = KEY_HELP.flatMap(([[first, second]]) => (first === 'g' ? [second] : []));
    expect(listed).to.deep.equal(Object.keys(GO_KEYS));
    for (const [key, page] of Object.entries(GO_KEYS))
      expect(act(key, 'g')).to.deep.equal({ act: 'go', page });
  });

  it("are text in a field, and the browser's with Control", () => {
    for (const key of ['g', '/', '?', 'd']) {
      expect(act(key, '', { typing: true }).act).to.equal('none');
      expect(act(key, '', { modified: true }).act).to.equal('none');
      expect(act(key).act).not.to.equal('none');
    }
    expect(act('n').act).to.equal('none');
    expect(act('x', 'g').act).to.equal('none');
  });
});

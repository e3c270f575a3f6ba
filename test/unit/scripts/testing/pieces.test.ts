import { expect } from 'chai';
import { Pieces } from '../../../../scripts/testing/pieces.ts';

describe('output of tests that run at the same time', () => {
  it('comes suite by suite, however it was cut on its way, and the rest at the end', () => {
    const printed: string[] = [];
    const pieces = new Pieces((piece) => printed.push(piece));
    for (const text of ['one', ' and\n', 'more\x1etwo\x1e', '', 'three\x1e2 passing']) pieces.take(text);
    expect(printed).to.deep.equal(['one and\nmore', 'two', 'three']);
    expect(pieces.rest()).to.equal('2 passing');
  });
});

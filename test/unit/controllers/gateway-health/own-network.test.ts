import { expect } from 'chai';
import {
  type PathSince,
  SAME_MOMENT_MS,
  suspectedDeaths,
} from '../../../../src/controllers/gateway-health/own-network.ts';

const path = (cluster: string, state: PathSince['state'], since = 0): PathSince => ({
  cluster,
  state,
  since,
});

describe('the verdict that it is this cluster that is cut off', () => {
  const table: readonly [story: string, paths: readonly PathSince[], suspected: readonly string[]][] = [
    ['nobody is linked', [], []],
    ['the only one dies', [path('west', 'dead')], []],
    ['one of two dies', [path('west', 'dead'), path('north', 'alive')], []],
    ['both die in one moment', [path('west', 'dead'), path('north', 'dead', 8000)], ['north', 'west']],
    ['one after the other', [path('west', 'dead'), path('north', 'dead', SAME_MOMENT_MS + 1)], []],
    [
      'both die, beside one that has long been dead',
      [path('old', 'dead', -1e9), path('west', 'dead'), path('north', 'dead')],
      ['north', 'west'],
    ],
    ['the other is not known', [path('west', 'dead'), path('north', 'unknown')], []],
    ['two Links of one cluster', [path('west', 'dead'), path('west', 'dead')], []],
    ['one is back', [path('west', 'dead'), path('north', 'dead'), path('south', 'alive')], []],
  ];
  for (const [story, paths, suspected] of table)
    it(`is ${suspected.length === 0 ? 'not ' : ''}made when ${story}`, () =>
      expect(suspectedDeaths(paths)).to.deep.equal(suspected));
});

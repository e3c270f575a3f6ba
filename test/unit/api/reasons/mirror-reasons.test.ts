import { expect } from 'chai';
import {
  countsAsMirrored,
  isNothingOfOurs,
  isRefused,
  isRefusedOrHeld,
  isTrouble,
  isUnmirrored,
  type MirrorReason,
  mirrorReasons,
} from '../../../../src/api/reasons/mirror-reasons.ts';
import { refusalsOf } from '../../../../src/check/import-checks.ts';
import { notMirrored } from '../../../../src/check/linkspan-checks.ts';
import type { ServiceReport } from '../../../../src/api/answers/admin-answers.ts';

const all = Object.keys(mirrorReasons) as MirrorReason[];
const report = (reason: MirrorReason): ServiceReport => ({
  service: 'demo/web',
  local: 'web-west',
  mode: 'gateway',
  reason,
  message: '',
  since: '',
  endpoints: 0,
});

describe('classes of reasons', () => {
  // Sets by hand, here and in those who asked: a new reason was in none of them, and nobody was told of it.
  it('put every reason where it is told: well, not exported, refused, or in trouble', () => {
    for (const reason of all) {
      const told = [
        reason === 'Mirrored' || reason === 'NotExported',
        isRefusedOrHeld(reason),
        isTrouble(reason),
      ];
      expect(told.filter(Boolean), reason).to.have.length(1);
      if (isUnmirrored(reason)) expect(isTrouble(reason) && !countsAsMirrored(reason), reason).to.equal(true);
      if (isNothingOfOurs(reason)) expect(isUnmirrored(reason), reason).to.equal(true);
      if (isRefused(reason)) expect(isRefusedOrHeld(reason), reason).to.equal(true);
    }
  });

  // What is refused and held stood under both checks.
  it('have `check` tell each under one of its checks', () => {
    for (const reason of all) {
      const links = [{ link: 'links/west', cluster: 'west', held: true, mirrors: [report(reason)] }];
      const isRefusal = links.flatMap(refusalsOf).length > 0;
      const isMissing = notMirrored(links).result !== 'success';
      expect([isRefusal, isMissing], reason).to.deep.equal([isRefusedOrHeld(reason), isTrouble(reason)]);
    }
  });

  // A controller may be newer than the program that asks it.
  it('have none for a word that is not known, nor fail at one', () => {
    for (const word of ['FromTomorrow', 'constructor'] as unknown as MirrorReason[]) {
      expect(isRefusedOrHeld(word) || isUnmirrored(word) || countsAsMirrored(word)).to.equal(false);
      expect(isTrouble(word)).to.equal(true);
    }
  });
});

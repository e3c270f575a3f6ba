import { expect } from 'chai';
import type { LinkReport } from '../../../../src/api/answers/admin-answers.ts';
import { mirrorsText } from '../../../../src/cli/output/mirrors-text.ts';

const west = { link: 'links/west', cluster: 'west', held: true };
const synced: LinkReport = { ...west, synced: true, mirrors: [] };
const NONE = 'Nothing is exported to this cluster.\n';
const UNKNOWN = 'What is exported to this cluster is not known.\n';

describe('the text of `mirrors`', () => {
  // It said that nothing is exported when no replica had answered, or no list had arrived; it had no line for
  // a Link over its budget, and forgot what could not be written of one whose replica was silent.
  const table: readonly [sentence: string, report: LinkReport, text: string][] = [
    ['says that nothing is exported where that is known', synced, NONE],
    [
      '… and not where nobody answered, with all that is wrong beside',
      { ...west, held: false, unwritten: ['status: forbidden'] },
      `${UNKNOWN}Link links/west: the replica that keeps it did not answer
Link links/west: what is known could not be written: status: forbidden
`,
    ],
    [
      '… nor where the list has not arrived',
      { ...synced, synced: false },
      `${UNKNOWN}Link links/west: the first complete list of its exports has not arrived\n`,
    ],
    [
      '… nor where the target has never answered',
      { ...synced, synced: false, apiError: 'connect ECONNREFUSED' },
      `${UNKNOWN}Link links/west: the target's API server does not answer, last heard of never: connect ECONNREFUSED
Link links/west: the first complete list of its exports has not arrived
`,
    ],
    [
      'names a Link that does not run',
      { ...west, problem: 'no Secret' },
      `${UNKNOWN}Link links/west does not run: no Secret\n`,
    ],
    [
      '… one over its budget',
      { ...synced, overBudget: '12 MB of 8 MB' },
      `${NONE}Link links/west: it is parked, over its budget: 12 MB of 8 MB\n`,
    ],
    [
      '… and what could not be written',
      { ...synced, unwritten: ['status: forbidden', 'Events: forbidden'] },
      `${NONE}Link links/west: what is known could not be written: status: forbidden
Link links/west: what is known could not be written: Events: forbidden
`,
    ],
  ];
  for (const [sentence, report, text] of table)
    it(sentence, () => expect(mirrorsText([report])).to.equal(text));
});

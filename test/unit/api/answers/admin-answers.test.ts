import { expect } from 'chai';
import fc from 'fast-check';
import {
  CONTROLLER_TRY_PAGE,
  EGRESS_TRY_PAGE,
  EXPLAIN_PAGE,
  explainPage,
  type Explanation,
  type GatewayTry,
  type LinkReport,
  MIRRORS_PAGE,
  readExplainQuestion,
} from '../../../../src/api/answers/admin-answers.ts';
import type { AnswerPage } from '../../../../src/api/answers/answer-page.ts';

const service = {
  service: 'demo/web',
  local: 'web-east',
  mode: 'gateway',
  reason: 'Mirrored',
  message: '',
  since: '2026-01-01T00:00:00.000Z',
  endpoints: 2,
} as const;
const gateway = {
  path: 'alive',
  addresses: [
    { address: '10.0.0.1', state: 'alive', reason: undefined, message: '', latencyMs: 3, since: 1 },
  ],
} as const;
const report: LinkReport = {
  link: 'mc/east',
  cluster: 'east',
  held: true,
  gateway,
  mirrors: [service],
  federated: [],
  unknownRanges: ['pods: not said'],
};
const explanation: Explanation = {
  link: 'mc/east',
  cluster: 'east',
  service: 'demo/web',
  local: 'web-east',
  kind: 'mirror',
  exported: true,
  selectedBy: 'selector',
  mode: 'gateway',
  namespace: 'present',
  reason: 'Mirrored',
  meaning: 'it is there',
  message: '',
  remote: { ready: 1, known: 1, certain: true },
  clusterIP: null,
  endpoints: ['10.0.0.1'],
  gateway: null,
  synced: true,
  apiError: null,
  lastWordSeconds: 0.3,
};
const tried: GatewayTry = {
  link: 'mc/east',
  cluster: 'east',
  address: '10.0.0.1',
  ok: true,
  message: '',
  latencyMs: 1,
};
const egressTried = {
  gateway: '10.0.0.1:4143',
  identity: 'gateway',
  ok: false,
  message: 'refused',
  latencyMs: 1,
};

const wire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
const pages: readonly (readonly [string, AnswerPage<unknown>, object])[] = [
  ['links', MIRRORS_PAGE, report],
  ['explanations', EXPLAIN_PAGE, explanation],
  ["a controller's tries", CONTROLLER_TRY_PAGE, tried],
  ["an egress pod's tries", EGRESS_TRY_PAGE, egressTried],
];

// The CLI took any list for what it had asked for: a program of another version, or whoever else listens
// there, ended `mirrors` in a TypeError.
describe('answers of admin ports', () => {
  for (const [what, page, entry] of pages) {
    it(`with ${what} are read as they were written, and with what a newer version adds`, () => {
      const body = wire([entry, { ...entry, later: { more: 1 } }]);
      expect(page.read(body)).to.deep.equal(body);
    });

    it(`with ${what} are refused where something is not what it should be`, () => {
      for (const key of ['link', 'gateway', 'message', 'service', 'mirrors', 'endpoints', 'ok'])
        if (key in entry)
          expect(() => page.read(wire([{ ...entry, [key]: 7 }])), key).to.throw(RangeError, key);
    });
  }

  it('are refused where they are no list, and never in another way', () =>
    fc.assert(
      fc.property(fc.jsonValue(), (body) => {
        for (const [, page] of pages)
          try {
            page.read(body);
          } catch (error) {
            expect(error).to.be.instanceOf(RangeError);
          }
      }),
    ));

  it('to a question are to the one that was asked', () =>
    fc.assert(
      fc.property(fc.string(), fc.string(), (namespace, name) => {
        const { pathname, searchParams } = new URL(explainPage({ namespace, name }).path, 'http://localhost');
        expect(pathname).to.equal(EXPLAIN_PAGE.path);
        const question = { namespace: namespace.toWellFormed(), name: name.toWellFormed() };
        expect(readExplainQuestion(searchParams)).to.deep.equal(question);
      }),
    ));
});

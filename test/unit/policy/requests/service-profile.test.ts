import { expect } from 'chai';
import fc from 'fast-check';
import { readServiceProfile } from '../../../../src/policy/requests/service-profile.ts';

const condition = { pathRegex: '/x' };

describe('a ServiceProfile', () => {
  it('says what is done with each route', () => {
    expect(
      readServiceProfile({
        routes: [
          {
            name: 'GET /books/{id}',
            condition: { method: 'get', pathRegex: '/books/[^/]*' },
            timeout: '1m30s',
            isRetryable: true,
            responseClasses: [{ condition: { status: { min: 404 } }, isFailure: true }],
          },
          {
            name: 'others',
            condition: {
              all: [{ not: { method: 'GET' } }, { any: [{ pathRegex: '^/a' }, { pathRegex: '/b$' }] }],
            },
          },
        ],
        retryBudget: { retryRatio: 0.5, minRetriesPerSecond: 3, ttl: '20s' },
      }),
    ).to.deep.equal({
      requests: {
        routes: [
          {
            name: 'GET /books/{id}',
            condition: {
              kind: 'all',
              of: [
                { kind: 'method', method: 'GET' },
                { kind: 'path', regex: '^/books/[^/]*$' },
              ],
            },
            retryable: true,
            timeoutMs: 90_000,
            classes: [{ condition: { kind: 'status', min: 404, max: 599 }, failure: true }],
          },
          {
            name: 'others',
            condition: {
              kind: 'all',
              of: [
                { kind: 'not', of: { kind: 'method', method: 'GET' } },
                {
                  kind: 'any',
                  of: [
                    { kind: 'path', regex: '^/a$' },
                    { kind: 'path', regex: '^/b$' },
                  ],
                },
              ],
            },
            retryable: false,
            classes: [],
          },
        ],
        budget: { ratio: 0.5, minPerSecond: 3, ttlMs: 20_000 },
      },
      problems: [],
    });
  });

  it('without routes leaves the annotations in force', () => {
    expect(
      readServiceProfile({ retryBudget: { retryRatio: 1, minRetriesPerSecond: 1, ttl: '1s' } }),
    ).to.deep.equal({ problems: [] });
    expect(readServiceProfile(undefined)).to.deep.equal({ problems: [] });
  });

  const wrong: readonly (readonly [string, object, RegExp])[] = [
    ['no name', { condition }, /name/],
    ['no condition', { name: 'x' }, /condition|object/],
    ['an empty condition', { name: 'x', condition: {} }, /says nothing/],
    ['a path that is no pattern', { name: 'x', condition: { pathRegex: '/(' } }, /"\(" without "\)"/],
    ['look-ahead', { name: 'x', condition: { pathRegex: '/(?=a)' } }, /not known here/],
    [
      'a class without condition',
      { name: 'x', condition, responseClasses: [{ isFailure: true }] },
      /not valid/,
    ],
    [
      'a status that is none',
      { name: 'x', condition, responseClasses: [{ condition: { status: { min: 999 } } }] },
      /status/,
    ],
  ];
  for (const [what, one, says] of wrong)
    it(`leaves out a route with ${what}, says so, and follows the others`, () => {
      const { requests, problems } = readServiceProfile({ routes: [one, { name: 'good', condition }] });
      expect(requests?.routes?.map(({ name }) => name)).to.deep.equal(['good']);
      expect(problems).to.have.length(1);
      expect(problems[0]).to.match(/^spec\.routes\[0\] is not valid/);
      expect(problems[0]).to.match(says);
    });

  it('keeps a route whose timeout is wrong, and the default budget for one that is', () => {
    const { requests, problems } = readServiceProfile({
      routes: [{ name: 'x', condition, timeout: '10', isRetryable: true }],
      retryBudget: { retryRatio: 0.1, minRetriesPerSecond: 1, ttl: '2m' },
    });
    expect(requests).to.deep.equal({
      routes: [{ name: 'x', condition: { kind: 'path', regex: '^/x$' }, retryable: true, classes: [] }],
    });
    expect(problems).to.deep.equal([
      'route x: the timeout "10" is not valid, it is left out',
      'spec.retryBudget is not valid (ttl is not between 1s and 60s), it is 0.2 of the requests and 10 a second',
    ]);
  });

  it('is a stranger: whatever it says, nothing is thrown', () => {
    fc.assert(fc.property(fc.anything(), (spec) => void readServiceProfile(spec)));
    fc.assert(fc.property(fc.array(fc.anything()), (routes) => void readServiceProfile({ routes })));
    let deep: object = condition;
    for (let count = 0; count < 10_000; count++) deep = { not: deep };
    const { problems } = readServiceProfile({ routes: [{ name: 'x', condition: deep }] });
    expect(problems[0]).to.contain('too deep');
  });
});

import { readUnder } from '../../../support/read-annotations.ts';
import { expect } from 'chai';
import fc from 'fast-check';
import { readRequestAnnotations } from '../../../../src/policy/requests/request-annotations.ts';

const read = (annotations: Record<string, string>) =>
  readUnder('requests', readRequestAnnotations, annotations);
const R = 'retry.linkerd.io';
const T = 'timeout.linkerd.io';

describe('annotations about retries and timeouts', () => {
  it('say nothing where there are none', () => {
    expect(read({ 'some.other/one': '5xx' })).to.deep.equal({ problems: [] });
  });

  it('are all read', () => {
    expect(
      read({
        [`${R}/http`]: '5xx,429,gateway-error, 500-502',
        [`${R}/grpc`]: 'Cancelled,deadline-exceeded,internal,resource-exhausted,unavailable',
        [`${R}/limit`]: '3',
        [`${R}/timeout`]: '300ms',
        [`${T}/request`]: '1m',
        [`${T}/response`]: '2h',
        [`${T}/idle`]: '30s',
        'linkspan.dev/retry-budget-ratio': '0.1',
      }),
    ).to.deep.equal({
      requests: {
        retry: {
          statuses: [
            { min: 500, max: 599 },
            { min: 429, max: 429 },
            { min: 502, max: 504 },
            { min: 500, max: 502 },
          ],
          grpc: [1, 4, 13, 8, 14],
          limit: 3,
          tryTimeoutMs: 300,
        },
        timeouts: { requestMs: 60_000, responseMs: 7_200_000, idleMs: 30_000 },
        budget: { ratio: 0.1, minPerSecond: 10, ttlMs: 10_000 },
      },
      problems: [],
    });
  });

  it('turn retries on, any one of them, once', () => {
    for (const one of [{ [`${R}/http`]: '503' }, { [`${R}/timeout`]: '1s' }, { [`${R}/grpc`]: 'internal' }])
      expect(read(one).requests?.retry?.limit).to.equal(1);
    expect(read({ [`${R}/limit`]: '2' }).requests?.retry).to.deep.equal({ statuses: [], grpc: [], limit: 2 });
    expect(read({ [`${R}/http`]: '5xx', [`${R}/limit`]: '0' })).to.deep.equal({ problems: [] });
  });

  it('have older spellings, which give way', () => {
    const old = {
      'linkerd.io/retry-on': '503,unavailable',
      'linkerd.io/retry-max': '4',
      'linkerd.io/timeout': '10s',
    };
    expect(read(old).requests).to.deep.equal({
      retry: { statuses: [{ min: 503, max: 503 }], grpc: [14], limit: 4 },
      timeouts: { requestMs: 10_000 },
    });
    expect(read({ ...old, [`${T}/request`]: '1s' }).requests?.timeouts).to.deep.equal({ requestMs: 1000 });
  });

  it('zero is no limit of time', () => {
    expect(read({ [`${T}/request`]: '0', [`${T}/idle`]: '0s', [`${R}/timeout`]: '0ms' })).to.deep.equal({
      problems: [],
    });
  });

  const wrong: readonly (readonly [string, string])[] = [
    [`${R}/http`, '6xx'],
    [`${R}/http`, '503,'],
    [`${R}/http`, '504-502'],
    [`${R}/http`, '5xx,reset'],
    [`${R}/http`, '99'],
    [`${R}/grpc`, 'unknown'],
    [`${R}/limit`, '-1'],
    [`${R}/limit`, '65536'],
    [`${R}/limit`, 'many'],
    [`${R}/timeout`, '10'],
    [`${T}/request`, '1.5s'],
    [`${T}/request`, '1m30s'],
    [`${T}/response`, '1w'],
    [`${T}/idle`, ''],
    ['linkspan.dev/retry-budget-ratio', '-1'],
    ['linkspan.dev/retry-budget-ttl', '2m'],
  ];
  for (const [name, value] of wrong)
    it(`leaves out ${name}: "${value}", says so, and follows the others`, () => {
      const other = { [`${R}/grpc`]: 'internal', [`${T}/response`]: '5s', [name]: value };
      const { requests, problems } = read(other);
      expect(problems).to.deep.equal([`${name}: "${value}" is not valid, it is left out`]);
      const { [name]: _, ...rest } = other;
      expect({ requests, problems: [] }).to.deep.equal({ requests: undefined, ...read(rest) });
    });

  it('never throw, and what is followed is in its bounds', () => {
    const keys = [
      `${R}/http`,
      `${R}/grpc`,
      `${R}/limit`,
      `${R}/timeout`,
      `${T}/request`,
      `${T}/idle`,
      'linkerd.io/retry-on',
    ];
    const value = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom('5', '0', '3', 'x', '-', ',', 'm', 's', 'd', ' ') }),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keys), value), (annotations) => {
        const { requests = {}, problems } = read(annotations);
        for (const { min, max } of requests.retry?.statuses ?? [])
          expect(min >= 100 && min <= max && max <= 599).to.equal(true);
        for (const ms of Object.values(requests.timeouts ?? {})) expect(ms).to.be.within(1, 0x7fffffff);
        expect(problems.length).to.be.at.most(Object.keys(annotations).length);
      }),
    );
  });

  it('every time that Linkerd writes is read', () => {
    const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.constantFrom(...(['ms', 's', 'm', 'h', 'd'] as const)),
        (n, unit) => {
          expect(read({ [`${T}/idle`]: `${n}${unit}` }).requests?.timeouts?.idleMs).to.equal(n * units[unit]);
        },
      ),
    );
  });
});

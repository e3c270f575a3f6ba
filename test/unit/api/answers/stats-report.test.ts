import { expect } from 'chai';
import { STATS_PAGE } from '../../../../src/api/answers/stats-report.ts';
import { flowOf, gatewayOf, mirrorOf, reportOf, routeOf } from '../../../support/traffic-readings.ts';

/** A report with a number in every place that may have one. */
const full = () =>
  reportOf({
    targets: [
      mirrorOf({
        errors: { failfast: 1 },
        tcp: { opened: 1, open: 1, readBytes: 1, writtenBytes: 1, closes: { ECONNRESET: 1 } },
        endpoints: { ready: 1, known: 1 },
        retries: 1,
        timeouts: 1,
        limited: 1,
      }),
    ],
    flows: [flowOf({ errors: { failfast: 1 } })],
    gateways: [gatewayOf({ connections: 1 })],
    routes: [routeOf({ retries: { sent: 1 }, timeouts: { try: 1 } })],
    certificate: { identity: 'gateway.west', notAfter: 1, anchorsNotAfter: 1 },
    sync: [{ kind: 'services', ageS: 1, ok: true }],
    points: [
      {
        at: 1,
        ms: 1,
        targets: [{ label: 'a', requests: 1, responses: 1, failures: 1, errors: 1, p50Ms: 1, p99Ms: 1 }],
      },
    ],
  });

/** The places of all numbers in a value. */
function numbersIn(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value === 'number') return [path];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, below]) => numbersIn(below, [...path, key]));
}

/** The same value, with another one in a place. */
function withAt(value: unknown, [key, ...rest]: readonly string[], other: unknown): unknown {
  if (key === undefined) return other;
  const changed = withAt((value as Record<string, unknown>)[key], rest, other);
  return Array.isArray(value) ? value.with(Number(key), changed) : { ...(value as object), [key]: changed };
}

describe('The answer of /stats', () => {
  it('is read as it was written', () => {
    expect(STATS_PAGE.read(JSON.parse(JSON.stringify(full())))).to.deep.equal(full());
  });

  // Of rates and shares of them tables would say NaN and Infinity, and programs get null for a number.
  it('has no number with which nobody could count', () => {
    const places = numbersIn(full());
    expect(places).to.have.length.greaterThan(50);
    for (const place of places)
      for (const number of [1e300, -1e300, Number.NaN, Infinity, null, '1'])
        expect(
          () => STATS_PAGE.read(withAt(full(), place, number)),
          `${place.join('.')} = ${number}`,
        ).to.throw(RangeError);
    for (const ms of [1e-300, 0.5])
      expect(() => STATS_PAGE.read({ ...full(), windowMs: ms })).to.throw(RangeError);
  });
});

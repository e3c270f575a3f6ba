import { expect } from 'chai';
import { failures, ProxyFailure } from '../../../../src/proxy/http/failures.ts';
import { readTunnelRefusal, refusalHead } from '../../../../src/proxy/streams/stream-head.ts';

// A new kind with the status of an old one took its place: what a gateway refused as an unknown service was
// counted by the egress as a missing route.
describe('the refusal of a raw flow', () => {
  const kindOf = (kind: keyof typeof failures) =>
    readTunnelRefusal(refusalHead(new ProxyFailure(kind, 'why'))).kind;

  it('is told as what a raw flow can meet, where kinds share a status', () => {
    const met: Record<number, string> = {
      404: 'unknown service',
      500: 'internal error',
      502: 'connection failed',
      503: 'load shed',
      504: 'failfast',
    };
    for (const [kind, { status }] of Object.entries(failures) as [
      keyof typeof failures,
      { status: number },
    ][])
      expect(kindOf(kind), kind).to.equal(met[status] ?? kind);
  });
});

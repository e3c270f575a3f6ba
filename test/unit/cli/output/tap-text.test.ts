import { expect } from 'chai';
import { fieldTemplate } from '../../../../src/cli/output/field-template.ts';
import { type SeenFlow, tapLine } from '../../../../src/cli/output/tap-text.ts';

const FLOW: SeenFlow = {
  v: 1,
  type: 'flow',
  id: 'a-1',
  at: Date.UTC(2026, 0, 1, 12, 0, 1, 123),
  process: 'gateway',
  side: 'target',
  pod: 'linkerd-gateway-1',
  cluster: 'west',
  client: {
    identity: 'default.east.serviceaccount.identity.linkerd.east.example',
    address: '10.0.0.9',
    proven: true,
  },
  target: { name: 'web', port: '80', namespace: 'demo', service: 'web' },
  endpoint: '10.1.2.3:8080',
  protocol: 'http2',
  method: 'GET',
  path: '/cart',
  status: 503,
  bytesIn: 0,
  bytesOut: 91,
  firstByteMs: 12.3,
  totalMs: 13,
  tries: 2,
  failure: 'failfast',
  reason: 'no ready endpoints for web',
};

describe('A line of a tap', () => {
  it('says who asked whom for what, how it went, and why not', () => {
    expect(tapLine(FLOW, false)).to.equal(
      '12:00:01.123 gateway west  default.east → demo/web:80 10.1.2.3:8080  GET /cart  503  first 12.3ms total 13.0ms  in 0B out 91B  tries 2  failfast: no ready endpoints for web\n',
    );
  });

  it('has at an egress the address of the client and the other cluster, and says what is still open', () => {
    const { method: _, path: __, status: ___, firstByteMs: ____, reason: _____, ...rest } = FLOW;
    const open: SeenFlow = {
      ...rest,
      type: 'open',
      process: 'egress',
      side: 'source',
      cluster: 'east',
      client: { address: '10.0.0.9', proven: false },
      target: { name: 'web-west', port: '80', namespace: 'demo', mirror: 'web-west', cluster: 'west' },
      protocol: 'opaque',
      bytesIn: 1_500_000,
      totalMs: 61_000,
      tries: 1,
      failure: undefined,
    };
    expect(tapLine(open, false)).to.equal(
      '12:00:01.123 egress east  10.0.0.9 → demo/web-west:80 in west 10.1.2.3:8080  opaque  open for 61.0s  in 1.5MB out 91B\n',
    );
  });

  it('is wide with what finds the pod, the certificate and the flow', () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const wide = tapLine({ ...FLOW, client: { ...FLOW.client, via: 'egress.east' }, traceId }, true);
    for (const word of [
      'default.east.serviceaccount',
      '10.0.0.9 (says egress.east)',
      'linkerd-gateway-1',
      'id a-1',
      `trace ${traceId}`,
    ])
      expect(wide).to.contain(word);
  });
});

describe('A template of fields', () => {
  it('has fields, text, and nothing where there is no such field', () => {
    const line = fieldTemplate('{.method} {.target.name}:{.nothing.here}{"\\t"}{.status} }');
    expect(line(FLOW)).to.equal('GET web:\t503 }\n');
    expect(fieldTemplate('{.target}')(FLOW)).to.contain('"namespace":"demo"');
    expect(fieldTemplate('{.constructor}{.__proto__}')({})).to.equal('\n');
  });

  it('says what it does not know', () => {
    for (const wrong of ['{.a', '{a}', '{.items[0]}', '{"}', '{}'])
      expect(() => fieldTemplate(wrong), wrong).to.throw(RangeError);
  });
});

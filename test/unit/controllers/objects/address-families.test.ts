import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { notMirrored } from '../../../../src/check/linkspan-checks.ts';
import { decideMember } from '../../../../src/controllers/federated/federated-verdict.ts';
import { ServiceStatusList } from '../../../../src/controllers/link/service-statuses.ts';
import type { MirrorFacts } from '../../../../src/controllers/reconcile/mirror-facts.ts';
import { decide } from '../../../../src/controllers/mirror/mirror-verdict.ts';
import { memberFacts } from '../../../support/member-facts.ts';
import { aliveGateway, mirrorFacts, written } from '../../../support/mirror-facts.ts';
import { MirrorWorld } from '../../../support/mirror-world.ts';

type Family = 'IPv4' | 'IPv6';

/** Facts of a mirror whose ClusterIP is of these families. */
function withFamilies(facts: MirrorFacts, ...ipFamilies: Family[]): MirrorFacts {
  const before = written(facts);
  const of = (service: V1Service | undefined) =>
    service === undefined ? undefined : { ...service, spec: { ...service.spec, ipFamilies } };
  return { ...before, local: { ...before.local, service: of(before.local.service) } };
}

const v4 = aliveGateway();
const v6 = aliveGateway({ known: ['fd00::1'], alive: ['fd00::1'] });
const both = aliveGateway({ known: ['10.0.0.1', 'fd00::1'], alive: ['10.0.0.1', 'fd00::1'] });

/**
 * An IPv6-only source, and a gateway with an IPv4 address: the mirror was `Mirrored`, everything "as it
 * should be", and kube-proxy sent nothing (EKS clusters are IPv6-only).
 */
describe('a mirror and its endpoints of different address families', () => {
  const cases: [string, MirrorFacts, string][] = [
    ['IPv6 only, gateway IPv4', withFamilies(mirrorFacts({ gateway: v4 }), 'IPv6'), 'AddressFamilyMismatch'],
    ['IPv4 only, gateway IPv6', withFamilies(mirrorFacts({ gateway: v6 }), 'IPv4'), 'AddressFamilyMismatch'],
    ['IPv6 only, gateway of both', withFamilies(mirrorFacts({ gateway: both }), 'IPv6'), 'Mirrored'],
    ['dual-stack, gateway IPv6', withFamilies(mirrorFacts({ gateway: v6 }), 'IPv4', 'IPv6'), 'Mirrored'],
    ['IPv6 only, gateway IPv6', withFamilies(mirrorFacts({ gateway: v6 }), 'IPv6'), 'Mirrored'],
    [
      // The address of the right family is shown, not ready.
      'IPv6 only, gateway of both, whose IPv6 is dead',
      withFamilies(mirrorFacts({ gateway: { ...both, alive: ['10.0.0.1'] } }), 'IPv6'),
      'AddressFamilyMismatch',
    ],
    [
      'a dead gateway is that first',
      withFamilies(mirrorFacts({ gateway: { ...v4, alive: [], path: 'dead' } }), 'IPv6'),
      'GatewayDead',
    ],
    [
      'no pods is that first',
      withFamilies(mirrorFacts({ gateway: v4, remoteReady: 0 }), 'IPv6'),
      'NoReadyEndpoints',
    ],
    ['not made yet', mirrorFacts({ gateway: v4 }), 'Mirrored'],
    ['flat, which Linkerd resolves', withFamilies(mirrorFacts({ flat: true }), 'IPv6'), 'Mirrored'],
  ];
  for (const [story, facts, reason] of cases)
    it(`${story}: ${reason}`, () => {
      const verdict = decide(facts);
      // Clients with a Linkerd proxy may get through: the endpoints stay.
      expect([verdict.action, verdict.reason]).to.deep.equal(['mirror', reason]);
    });

  it('is a sentence that names both, a True condition of the mirror, and a line of `check`', () => {
    const { reason, message } = decide(withFamilies(mirrorFacts({ gateway: v4 }), 'IPv6'));
    const text = 'the ClusterIP of web-west is IPv6, its endpoints are IPv4: kube-proxy sends nothing there';
    expect(message).to.equal(text);
    const outcome = { reason, message, local: 'web-west', since: 0 };
    const outcomes = new Map([['demo/web', outcome]]);
    const [entry] = new ServiceStatusList(outcomes, undefined).of(outcomes);
    expect(entry?.conditions?.[0]).to.include({
      status: 'True',
      reason: 'AddressFamilyMismatch',
    });
    const report = { service: 'demo/web', mode: 'gateway', endpoints: 1, ...outcome, since: '' };
    const checked = notMirrored([{ link: 'l/west', cluster: 'west', held: true, mirrors: [report] }]);
    expect(checked).to.have.property('text').that.includes(`AddressFamilyMismatch: ${text}`);
  });

  it('holds for flat mirrors with pods of their own, and for relayed unions', () => {
    const remoteSlices = [
      {
        metadata: { name: 'web-1', namespace: 'demo' },
        addressType: 'IPv4',
        endpoints: [{ addresses: ['10.9.0.1'], conditions: { ready: true } }],
      },
    ];
    const { link } = mirrorFacts();
    const flat = mirrorFacts({ flat: true, remoteSlices, link: { ...link, flatEndpoints: true } });
    expect(decide(withFamilies(flat, 'IPv6')).reason).to.equal('AddressFamilyMismatch');
    const service = {
      metadata: {
        name: 'web-federated',
        namespace: 'demo',
        labels: { 'mirror.linkerd.io/mirrored-service': 'true' },
        annotations: { 'multicluster.linkerd.io/remote-discovery': 'web@west' },
      },
      spec: { ipFamilies: ['IPv6'] },
    };
    const member = memberFacts({
      union: 'relay',
      egressPorts: new Map([['web-federated', { 80: 10_000 }]]),
      federated: { service, slices: [], endpoints: undefined },
    });
    expect(decideMember(member).reason).to.equal('AddressFamilyMismatch');
  });

  it('is said of a new mirror too, whose family the API server has just chosen', async () => {
    const world = new MirrorWorld(() => 0);
    try {
      world.source.ipFamilies = ['IPv6'];
      await world.happen({ kind: 'export', name: 'a', port: 80, ready: true });
      await world.clock.advance(1000);
      expect(world.outcomes.get('demo/a')?.reason).to.equal('AddressFamilyMismatch');
      expect(world.calls).to.equal(2);
    } finally {
      await world.close();
    }
  });
});

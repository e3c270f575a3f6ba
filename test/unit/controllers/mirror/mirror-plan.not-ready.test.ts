import type { V1EndpointSlice } from '@kubernetes/client-node';
import { expect } from 'chai';
import { usableAddresses } from '../../../support/usable-addresses.ts';
import type { MirrorFacts } from '../../../../src/controllers/reconcile/mirror-facts.ts';
import { plan } from '../../../../src/controllers/mirror/mirror-plan.ts';
import { decide } from '../../../../src/controllers/mirror/mirror-verdict.ts';
import {
  aliveGateway,
  desiredFor,
  desiredParts,
  exportedService,
  mirrorFacts,
  written,
} from '../../../support/mirror-facts.ts';

const { link } = mirrorFacts();
const dead = aliveGateway({ path: 'dead', alive: [] });
const NOT_READY = 'linkspan.dev/not-ready';
const relay: Partial<MirrorFacts> = {
  link: { ...link, dataPath: 'relay' },
  egress: [{ ip: '10.1.0.1' }, { ip: 'fd00::1' }],
  egressPorts: new Map([
    ['web-west', { 80: 10_000 }],
    ['web-0-west', { 80: 10_001 }],
  ]),
};
const remoteSlices = [
  { endpoints: [{ addresses: ['10.9.0.1'], hostname: 'web-0', conditions: { ready: true } }] },
] as never;
const host = { host: 'web-0', name: 'web-0-west', ready: true, graceMs: 0 };

const shown = (slices: readonly V1EndpointSlice[]) =>
  slices.flatMap(({ endpoints = [] }) => endpoints.flatMap(({ addresses }) => addresses));
const why = ({ metadata }: { metadata?: V1EndpointSlice['metadata'] }) => metadata?.annotations?.[NOT_READY];

/**
 * Linkerd moves the addresses behind a dead gateway to `notReadyAddresses`; here they vanished, and nobody
 * saw in the endpoints what would be there, or why it was not.
 */
describe('addresses that must not be used now', () => {
  it('stay in the slices as not ready, and in Endpoints where Linkerd puts them, with the reason', () => {
    const facts = mirrorFacts({ gateway: dead, link: { ...link, writeEndpoints: true } });
    const { slices, endpoints } = desiredFor(facts);
    expect(slices.map(({ endpoints }) => endpoints)).to.deep.equal([
      // Nobody may take it for one that still serves while it ends, or for one that says nothing.
      [{ addresses: ['10.0.0.1'], conditions: { ready: false, serving: false, terminating: false } }],
    ]);
    expect(endpoints?.subsets).to.deep.equal([
      { notReadyAddresses: [{ ip: '10.0.0.1' }], ports: [{ name: 'http', port: 4143, protocol: 'TCP' }] },
    ]);
    expect([...slices, endpoints ?? {}].map(why)).to.deep.equal(['GatewayDead', 'GatewayDead']);
  });

  const headless = exportedService({
    spec: { clusterIP: 'None', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
  });
  const ways: [string, MirrorFacts, string[]][] = [
    ['gateway', mirrorFacts({ gateway: aliveGateway() }), ['10.0.0.1']],
    ['relay, both families', mirrorFacts(relay), ['10.1.0.1', 'fd00::1']],
    [
      'headless',
      written(
        mirrorFacts({
          link: { ...link, headless: true },
          remote: headless,
          remoteSlices,
          hosts: [{ ...host, local: { service: undefined, slices: [], endpoints: undefined } }],
        }),
      ),
      ['10.96.1.1', '10.0.0.1'],
    ],
  ];
  for (const [way, facts, addresses] of ways)
    it(`are of no use to anybody: ${way}`, () => {
      const before = written(facts);
      const usable = desiredParts(before).flatMap(({ slices }) => usableAddresses(slices));
      expect(usable).to.deep.equal(addresses);
      const parts = desiredParts({ ...before, gateway: dead });
      expect(parts.flatMap(({ slices }) => usableAddresses(slices))).to.deep.equal([]);
      expect(parts.flatMap(({ slices }) => shown(slices))).to.deep.equal(addresses);
      for (const slice of parts.flatMap(({ slices }) => slices)) expect(why(slice)).to.equal('GatewayDead');
    });

  it('show nothing where there is nobody behind them, or the address itself is refused', () => {
    const cases: [string, Partial<MirrorFacts>][] = [
      ['NoReadyEndpoints', { remoteReady: 0, gateway: dead }],
      ['GatewayUnresolved', { gateway: aliveGateway({ path: 'unresolved', alive: [], known: [] }) }],
      ['NoEgress', { ...relay, egress: [] }],
      [
        'GatewayNotAllowed',
        {
          gateway: aliveGateway({
            path: 'refused',
            alive: [],
            refusal: { reason: 'GatewayNotAllowed', message: '' },
          }),
        },
      ],
    ];
    for (const [reason, change] of cases) {
      const { slices } = desiredFor(mirrorFacts(change));
      expect(shown(slices), reason).to.deep.equal([]);
      expect(slices.map(why), reason).to.deep.equal([reason]);
    }
  });

  it('are told apart from those that answer, and the annotation names them', () => {
    const gateway = aliveGateway({ known: ['10.0.0.1', '10.0.0.2'] });
    const facts = mirrorFacts({ gateway, link: { ...link, writeEndpoints: true } });
    const { slices, endpoints } = desiredFor(facts);
    expect(usableAddresses(slices)).to.deep.equal(['10.0.0.1']);
    expect(shown(slices)).to.deep.equal(['10.0.0.1', '10.0.0.2']);
    expect(endpoints?.subsets?.[0]).to.deep.include({
      addresses: [{ ip: '10.0.0.1' }],
      notReadyAddresses: [{ ip: '10.0.0.2' }],
    });
    expect(slices.map(why)).to.deep.equal(['no answer from 10.0.0.2']);
  });

  it('do not count as in use after a restart of the controller', () => {
    const before = written(mirrorFacts({ gateway: aliveGateway({ known: ['10.0.0.1', '10.0.0.2'] }) }));
    const gateway = aliveGateway({ known: ['10.0.0.1', '10.0.0.2'], unknown: ['10.0.0.2'] });
    expect(usableAddresses(desiredFor({ ...before, gateway }).slices)).to.deep.equal(['10.0.0.1']);
    expect(plan({ ...before, gateway }, decide({ ...before, gateway }))).to.deep.equal([]);
  });

  it('are ready again when the gateway answers, and the reason is gone', () => {
    const facts = mirrorFacts({ link: { ...link, writeEndpoints: true } });
    const back = { ...written({ ...facts, gateway: dead }), gateway: aliveGateway() };
    const steps = plan(back, decide(back));
    expect(steps.map(({ verb, kind }) => `${verb} ${kind}`)).to.deep.equal([
      'patch endpointSlices',
      'patch endpoints',
    ]);
    for (const step of steps)
      expect(step)
        .to.have.nested.property('patch.metadata.annotations')
        .that.deep.equals({ [NOT_READY]: null });
  });
});

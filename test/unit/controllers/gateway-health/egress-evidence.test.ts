import { expect } from 'chai';
import type { EvidenceState, TrunkReport } from '../../../../src/api/answers/trunk-report.ts';
import type { DemandReport } from '../../../../src/api/answers/demand-report.ts';
import type { SocketAddress } from '../../../../src/base/address.ts';
import { EgressEvidence } from '../../../../src/controllers/gateway-health/egress-evidence.ts';
import { lostTrunks, trunkKey } from '../../../../src/controllers/gateway-health/trunk-verdict.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const trunk = (state: string, gateway = '10.0.0.1:4143'): TrunkReport => ({
  gateway,
  identity: 'gw',
  state: state as EvidenceState,
  sinceMs: 0,
  attempts: 3,
});
const GATEWAY = trunkKey('10.0.0.1', 4143, 'gw');

describe('the verdict about a gateway address from what egress pods say', () => {
  const table: readonly [pods: readonly string[], lost: boolean][] = [
    [[], false],
    [['dead'], true],
    [['alive'], false],
    [['unknown', 'unknown'], false],
    // One of many that has tried is no witness for all, whose clients it would take the way from.
    [['dead', 'unknown'], false],
    [['dead', 'unknown', 'unknown'], false],
    [['dead', 'dead', 'unknown', 'unknown'], true],
    [['dead', 'alive', 'unknown'], true],
    [['dead', 'alive'], true],
    [['dead', 'alive', 'alive'], false],
    [['dead', 'suspect', 'alive'], false],
    [['dead', 'dead', 'alive', 'alive'], true],
    [['suspect', 'suspect'], false],
    // Words of another version count as nothing.
    [['gone', 'DEAD'], false],
  ];
  for (const [pods, lost] of table)
    it(`is ${lost ? 'lost' : 'kept'} where they say: ${pods.join(', ') || 'nothing'}`, () => {
      const said = pods.map((state) => ({ at: 0, trunks: [trunk(state)] }));
      expect([...lostTrunks(said, 5000)]).to.deep.equal(lost ? [GATEWAY] : []);
    });

  it('counts a pod once however often it says it, and not one that was not heard for long', () => {
    const loud = { at: 0, trunks: [trunk('dead'), trunk('dead'), trunk('dead')] };
    const calm = { at: 0, trunks: [trunk('alive')] };
    expect(lostTrunks([loud, calm, calm], 0).size).to.equal(0);
    expect(lostTrunks([loud], 10_001).size).to.equal(0);
    // The other one is not heard any more: it is the only one that there is.
    expect(
      lostTrunks(
        [
          { ...loud, at: 10_000 },
          { at: 0, trunks: [] },
        ],
        10_001,
      ).size,
    ).to.equal(1);
  });

  it('is about one port and one identity', () => {
    expect([...lostTrunks([{ at: 0, trunks: [trunk('dead', '[fd00::1]:4143')] }], 0)]).to.deep.equal([
      trunkKey('fd00::1', 4143, 'gw'),
    ]);
  });
});

// Probes go to another port than data, from another node: a firewall that let the one through took all
// clients to a gateway that nobody could send anything to.
describe('the evidence of the egress', () => {
  let clock: VirtualClock;
  let pods: SocketAddress[];
  let says: Map<string, EvidenceState | 'silent'>;
  let asked: number;
  let evidence: EgressEvidence;
  let changes: number;
  let fault: Error | undefined;
  let demand: DemandReport | undefined;
  const silence = () => Promise.reject(new Error('no answer in time'));

  beforeEach(() => {
    clock = new VirtualClock();
    pods = ['10.1.0.1', '10.1.0.2'].map((host) => ({ host, port: 4192 }));
    says = new Map(pods.map(({ host }) => [host, 'alive']));
    asked = changes = 0;
    fault = demand = undefined;
    evidence = new EgressEvidence({
      clock,
      random: () => 0.5,
      log,
      pods: () => {
        if (fault !== undefined) throw fault;
        return pods;
      },
      ask: {
        trunks: ({ host }) => {
          asked++;
          const state = says.get(host) ?? 'silent';
          return state === 'silent' ? silence() : Promise.resolve({ rows: [trunk(state)], skipped: 1 });
        },
        demand: ({ host }) =>
          demand === undefined || says.get(host) === 'silent'
            ? silence()
            : Promise.resolve({ rows: [demand], skipped: 2 }),
      },
    });
  });
  afterEach(() => {
    evidence.stop();
    expect(clock.pending).to.equal(0);
  });

  const isLost = () => evidence.isLost('10.0.0.1', 4143, 'gw');

  it('is asked for every 2 s while somebody wants to know, and no longer', async () => {
    await clock.advance(10_000);
    expect(asked).to.equal(0);
    const end = evidence.follow(() => changes++);
    await clock.advance(10_000);
    expect(asked).to.be.within(10, 12);
    end();
    const before = asked;
    await clock.advance(10_000);
    expect(asked).to.equal(before);
  });

  it('withdraws an address within 2 s, and gives it back likewise, telling each once', async () => {
    evidence.follow(() => changes++);
    await clock.advance(2100);
    expect(isLost()).to.equal(false);
    says.set('10.1.0.1', 'dead');
    await clock.advance(2100);
    expect([isLost(), changes]).to.deep.equal([true, 1]);
    await clock.advance(20_000);
    expect(changes).to.equal(1);
    says.set('10.1.0.1', 'alive');
    await clock.advance(2100);
    expect([isLost(), changes]).to.deep.equal([false, 2]);
  });

  it('is that of the pods that answer, and none when none does', async () => {
    evidence.follow(() => changes++);
    says.set('10.1.0.1', 'dead');
    await clock.advance(2100);
    expect(isLost()).to.equal(true);
    says.set('10.1.0.1', 'silent');
    says.set('10.1.0.2', 'silent');
    await clock.advance(8000);
    expect(isLost(), 'the last word counts for a time').to.equal(true);
    await clock.advance(5000);
    expect([isLost(), evidence.silent]).to.deep.equal([false, 2]);
  });

  it('of a pod that is gone counts no more', async () => {
    evidence.follow(() => changes++);
    says.set('10.1.0.1', 'dead');
    await clock.advance(2100);
    pods = pods.slice(1);
    await clock.advance(2100);
    expect(isLost()).to.equal(false);
  });

  // Whatever goes wrong with one look, the next one comes: the way of the data was not asked about any more
  // until the controller was started anew.
  it('is asked for again after a look that went wrong', async () => {
    evidence.follow(() => changes++);
    await clock.advance(2100);
    fault = new TypeError('no pods');
    await clock.advance(10_000);
    fault = undefined;
    says.set('10.1.0.1', 'dead');
    await clock.advance(2100);
    expect([isLost(), changes]).to.deep.equal([true, 1]);
  });

  it('that is older than 10 s counts no more although nobody can be asked', async () => {
    evidence.follow(() => changes++);
    says.set('10.1.0.1', 'dead');
    await clock.advance(2100);
    fault = new TypeError('no pods');
    await clock.advance(14_000);
    expect([isLost(), changes]).to.deep.equal([false, 2]);
  });

  it('is asked for while anybody wants to know how requests fare, and counts what it could not read', async () => {
    const counts = { service: 'shop/web-federated', requests: 10, failures: 0, refused: 0, pending: 0 };
    demand = counts;
    let told = 0;
    const end = evidence.demand.follow(() => told++);
    const fares = () => evidence.demand.of(counts.service);
    expect(fares()).to.equal(undefined);
    await clock.advance(4100);
    expect(fares()).to.equal('met');
    expect(evidence.skipped).to.equal(6);
    demand = { ...counts, requests: 20, failures: 10 };
    await clock.advance(2100);
    expect([fares(), told]).to.deep.equal(['strained', 2]);
    const other = evidence.follow(() => changes++);
    end();
    await clock.advance(2100);
    expect(fares(), 'somebody else wants to know something').to.equal('strained');
    other();
    expect(fares()).to.equal(undefined);
    const before = asked;
    await clock.advance(10_000);
    expect(asked).to.equal(before);
  });

  it('of one kind counts where pods do not know the other', async () => {
    evidence.follow(() => changes++);
    says.set('10.1.0.1', 'dead');
    await clock.advance(12_000);
    expect([isLost(), evidence.silent, evidence.demand.of('shop/web-federated')]).to.deep.equal([
      true,
      0,
      'unheard',
    ]);
  });
});

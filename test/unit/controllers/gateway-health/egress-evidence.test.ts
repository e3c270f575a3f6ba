import { expect } from 'chai';
import type { EvidenceState, TrunkReport } from '../../../../src/api/answers/trunk-report.ts';
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

  beforeEach(() => {
    clock = new VirtualClock();
    pods = ['10.1.0.1', '10.1.0.2'].map((host) => ({ host, port: 4192 }));
    says = new Map(pods.map(({ host }) => [host, 'alive']));
    asked = changes = 0;
    evidence = new EgressEvidence({
      clock,
      random: () => 0.5,
      log,
      pods: () => pods,
      ask: ({ host }) => {
        asked++;
        const state = says.get(host) ?? 'silent';
        return state === 'silent'
          ? Promise.reject(new Error('no answer in time'))
          : Promise.resolve([trunk(state)]);
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
});

import { expect } from 'chai';
import { DropConfirmation } from '../../../src/mirror/drop-confirmation.ts';
import { DropGuard } from '../../../src/mirror/drop-guard.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import { FakeCluster } from '../../support/fake-cluster.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

/** An emptied etcd answers a second list as emptily as the first: only the cluster's identity tells it from an intended unexport. */
describe('confirmation of held removals', () => {
  function start(options: { knownUid?: string; acceptedUid?: string; exported?: string[] } = {}) {
    const clock = new VirtualClock();
    const target = new FakeCluster();
    const guard = new DropGuard({ fraction: 0.5 });
    for (let index = 0; index < 20; index++) guard.note(`demo/s${index}`, true, 'absent');
    for (const name of options.exported ?? [])
      target.put('services', { metadata: { name, namespace: 'demo', labels: { exported: 'true' } } });
    const confirmed: string[] = [];
    const told: string[] = [];
    const stop = new AbortController();
    const confirmation = new DropConfirmation({
      remote: target.client,
      guard,
      selectors: ['exported=true'],
      claimsOf: ({ metadata }) => [`${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`],
      knownUid: options.knownUid,
      acceptedUid: options.acceptedUid,
      // As the writers do: what is not held is removed.
      reconsider: (claims) => {
        for (const claim of claims.filter((key) => !guard.held(key))) {
          confirmed.push(claim);
          guard.note(claim, false, 'absent');
        }
      },
      tell: (reason) => void told.push(reason),
      signal: stop.signal,
      clock,
      log: createLogger({ name: 'test', level: 'silent' }),
    });
    const is = (uid: string) =>
      target.put('services', { metadata: { name: 'kubernetes', namespace: 'default', uid } });
    return { clock, target, guard, confirmation, confirmed, told, is };
  }

  it('of the same cluster comes with a second list, for what is absent from that too', async () => {
    const exported = Array.from({ length: 12 }, (_, index) => `s${index}`);
    const { clock, confirmation, confirmed, told, is } = start({ knownUid: 'one', exported });
    is('one');
    confirmation.request();
    await clock.advance(10);
    expect(confirmed).to.have.length(8).and.not.include('demo/s3');
    expect(told).to.deep.equal(['DropHeld', 'DropConfirmed']);
  });

  it('of another cluster does not come by itself', async () => {
    const { clock, confirmation, confirmed, guard, told, is } = start({ knownUid: 'one' });
    is('two');
    confirmation.request();
    await clock.advance(600_000);
    expect(confirmed).to.deep.equal([]);
    expect(confirmation.replacedBy).to.equal('two');
    expect(confirmation.uid, 'the one to compare with stays').to.equal('one');
    expect(guard.holding).to.equal(true);
    expect(told.filter((reason) => reason === 'ClusterReplaced')).to.have.length(1);
  });

  it('comes when a person has accepted the other cluster', async () => {
    const { clock, confirmation, confirmed, is } = start({ knownUid: 'one', acceptedUid: 'two' });
    is('two');
    confirmation.request();
    await clock.advance(10);
    expect(confirmed).to.have.length(20);
    expect(confirmation.uid).to.equal('two');
  });

  it('is not needed when the exports are back, and the other cluster is the known one then', async () => {
    const { clock, confirmation, guard, is } = start({ knownUid: 'one' });
    is('two');
    confirmation.request();
    await clock.advance(10);
    for (let index = 0; index < 20; index++) guard.note(`demo/s${index}`, true, 'there');
    confirmation.recheck();
    await clock.advance(10);
    expect([confirmation.uid, confirmation.replacedBy]).to.deep.equal(['two', undefined]);
  });

  it('waits for the second list where the identity cannot be read', async () => {
    const { clock, confirmation, confirmed } = start({ knownUid: 'one' });
    confirmation.request();
    await clock.advance(29_000);
    expect(confirmed).to.deep.equal([]);
    await clock.advance(5000);
    expect(confirmed).to.have.length(20);
  });

  it('is tried again when the second list fails', async () => {
    const { clock, confirmation, confirmed, target, is } = start({ knownUid: 'one' });
    is('one');
    target.listError = new Error('not now');
    confirmation.request();
    await clock.advance(1000);
    expect(confirmed).to.deep.equal([]);
    target.listError = undefined;
    await clock.advance(15_000);
    expect(confirmed).to.have.length(20);
  });

  it('goes on until nothing is held that went absent during a list', async () => {
    const exported = Array.from({ length: 20 }, (_, index) => `s${index}`);
    const { clock, confirmation, confirmed, guard, target, is } = start({ knownUid: 'one', exported });
    is('one');
    confirmation.request();
    await clock.advance(10);
    expect(confirmed, 'the list still has them all').to.deep.equal([]);
    for (const name of exported) target.remove('services', 'demo', name);
    await clock.advance(1000);
    expect(confirmed).to.have.length(20);
    expect(guard.holding).to.equal(false);
  });

  it('lets go what little is left when the rest has come back meanwhile', async () => {
    const { clock, confirmation, confirmed, guard, is, target } = start({ knownUid: 'one' });
    is('one');
    target.listError = new Error('not now');
    confirmation.request();
    await clock.advance(1000);
    for (let index = 3; index < 20; index++) guard.note(`demo/s${index}`, true, 'there');
    await clock.advance(15_000);
    expect(confirmed).to.deep.equal(['demo/s0', 'demo/s1', 'demo/s2']);
  });
});

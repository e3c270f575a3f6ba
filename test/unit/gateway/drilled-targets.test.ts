import { expect } from 'chai';
import type { ConnectionDrill } from '../../../src/api/failover/connection-drill.ts';
import type { TargetSource, TargetSpec } from '../../../src/discovery/target-spec.ts';
import { DrilledTargets } from '../../../src/gateway/drilled-targets.ts';
import { captureLog } from '../../support/captured-log.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const WEB = 'web.demo.svc.cluster.local';
const spec: TargetSpec = {
  name: WEB,
  port: 80,
  endpoints: [
    { host: '10.0.0.1', port: 8080, ready: true },
    { host: '10.0.0.2', port: 8080, ready: false },
  ],
};

function setup() {
  const clock = new VirtualClock(1_000_000);
  const inner = new Set<(key: string) => void>();
  const said = new Set<() => void>();
  let closed = false;
  const targets: TargetSource = {
    get: (name) => (name === WEB ? spec : undefined),
    keys: () => [`${WEB}:80`],
    subscribe: (listener) => {
      inner.add(listener);
      return () => inner.delete(listener);
    },
    ready: { ok: true, reason: '' },
    close: () => Promise.resolve(void (closed = true)),
  };
  const source = {
    drill: undefined as ConnectionDrill | undefined,
    subscribe: (listener: () => void) => {
      said.add(listener);
      return () => void said.delete(listener);
    },
  };
  const { log } = captureLog();
  const drilled = new DrilledTargets(targets, source, { clock, log });
  const told: string[] = [];
  drilled.subscribe((key) => told.push(key));
  const say = (drill: ConnectionDrill | undefined) => {
    source.drill = drill;
    for (const listener of said) listener();
  };
  const ready = () => drilled.get(WEB, 80)?.endpoints.map((endpoint) => endpoint.ready);
  return { clock, drilled, told, say, ready, inner, said, closed: () => closed };
}

// What a gateway does without endpoints could be tried only by taking pods away.
describe('the targets of a gateway in a drill', () => {
  it('have no ready endpoint from its beginning to its end', async () => {
    const { clock, told, say, ready } = setup();
    expect(ready()).to.deep.equal([true, false]);
    say({ kind: 'endpoints', start: clock.now() + 1000, until: clock.now() + 6000 });
    expect(ready()).to.deep.equal([true, false]);
    await clock.advance(1000);
    expect(ready()).to.deep.equal([false, false]);
    expect(told).to.deep.equal([`${WEB}:80`]);
    await clock.advance(5000);
    expect(ready(), 'nobody has ended it').to.deep.equal([true, false]);
    expect(told).to.have.length(2);
  });

  it('are as they are when the drill is taken away, or is of another kind', () => {
    const { clock, say, ready, drilled } = setup();
    const now = clock.now();
    say({ kind: 'endpoints', start: now, until: now + 5000 });
    expect(ready()).to.deep.equal([false, false]);
    expect(drilled.get('other', 80)).to.equal(undefined);
    say(undefined);
    expect(ready()).to.deep.equal([true, false]);
    say({ kind: 'fail', start: now, until: now + 5000 });
    expect(ready()).to.deep.equal([true, false]);
  });

  it('pass on what changes, and close with the gateway', async () => {
    const { drilled, told, inner, said, closed } = setup();
    for (const listener of inner) listener(`${WEB}:80`);
    expect(told).to.deep.equal([`${WEB}:80`]);
    expect([...drilled.keys()]).to.deep.equal([`${WEB}:80`]);
    expect(drilled.ready.ok).to.equal(true);
    await drilled.close();
    expect([inner.size, said.size, closed()]).to.deep.equal([0, 0, true]);
  });
});

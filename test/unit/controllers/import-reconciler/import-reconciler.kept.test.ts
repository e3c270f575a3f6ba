import { expect } from 'chai';
import { MirrorWorld } from '../../../support/mirror-world.ts';

/**
 * `mirrors` gathered facts and ran the verdict of every Service to print one word, its mode; `explain` did so
 * to say what had been decided already.
 */
describe('what a reconciler keeps', () => {
  let world: MirrorWorld;

  beforeEach(() => {
    world = new MirrorWorld(() => 0);
  });
  afterEach(() => world.close());

  const told = (key: string) => {
    const { exported, mode, local, outcome } = world.inspect(key) ?? {};
    return [exported !== undefined, mode, local, outcome?.reason];
  };

  it('is what was decided last, with the mode, until nothing is left', async () => {
    expect(told('demo/d')).to.deep.equal([false, 'gateway', 'd-west', undefined]);
    await world.happen({ kind: 'pods', name: 'd', pods: 'named' });
    await world.rest();
    expect(told('demo/d')).to.deep.equal([true, 'gateway, headless', 'd-west', 'Mirrored']);
    await world.happen({ kind: 'delete', name: 'd' });
    await world.rest();
    expect(told('demo/d')).to.deep.equal([false, 'gateway', 'd-west', undefined]);
  });

  it('is there of what could not be written too', async () => {
    await world.happen({ kind: 'export', name: 'a', port: 80, ready: true });
    await world.rest();
    await world.happen({ kind: 'refuse' });
    await world.happen({ kind: 'export', name: 'a', port: 81, ready: true });
    await world.pass();
    expect(told('demo/a')).to.deep.equal([true, 'gateway', 'a-west', 'Error']);
    expect(world.inspect('demo/a')?.part.service?.spec?.ports?.[0]?.port).to.equal(80);
  });

  it('is not looked up by a call to anybody', async () => {
    await world.happen({ kind: 'export', name: 'c', port: 80, ready: true });
    await world.rest();
    const { calls } = world;
    expect(told('demo/c')).to.deep.equal([true, 'gateway', 'c-west', 'NameConflict']);
    await world.clock.advance(0);
    expect(world.calls).to.equal(calls);
  });
});

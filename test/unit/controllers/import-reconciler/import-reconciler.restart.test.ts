import { expect } from 'chai';
import { MirrorWorld } from '../../../support/mirror-world.ts';

const NAMES = ['a', 'b', 'd', 'e', 'f', 'g', 'h', 'i'];

/**
 * 200 mirrors were decided about 872 times in one start: for each word of the gateway while the target was
 * listed, when the list was complete, and once more when all lists were.
 */
describe('a controller that starts again', () => {
  let world: MirrorWorld;

  beforeEach(async () => {
    world = new MirrorWorld(() => 0);
    for (const name of NAMES) await world.happen({ kind: 'export', name, port: 80, ready: true });
    await world.rest();
  });
  afterEach(() => world.close());

  it('decides about each mirror once, though it hears of the gateway before the target is listed', async () => {
    await world.happen({ kind: 'restart' });
    world.gateway = 'unknown';
    world.gateway = 'alive';
    await world.rest();
    expect(world.outcomes.size).to.equal(NAMES.length);
    expect(world.decisions).to.equal(NAMES.length);
  });

  it('looks at mirrors whose export went meanwhile', async () => {
    await world.close();
    await world.happen({ kind: 'delete', name: 'd' });
    await world.happen({ kind: 'restart' });
    await world.rest();
    expect(world.inspect('demo/d')?.part.service).to.equal(undefined);
  });
});

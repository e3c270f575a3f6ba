import { expect } from 'chai';
import { explainName } from '../../../src/controllers/explain.ts';
import type { MirrorController } from '../../../src/controllers/mirror-controller.ts';
import { LinkWorld } from '../../support/link-world.ts';

describe('an explanation', () => {
  let world: LinkWorld;
  const explained = (name: string) => {
    const { controller, clock } = world;
    const parts = { runs: new Map([['ns/west', controller]]), localMembers: undefined, options: { clock } };
    return explainName(parts as unknown as MirrorController, 'demo', name);
  };
  const begin = async (...exported: string[]) => {
    for (const name of exported) world.export(name);
    world.secret();
    world.link();
    await world.clock.advance(5000);
  };

  beforeEach(() => void (world = new LinkWorld()));
  afterEach(() => world.stop());

  // What ends in `-west` was taken for the name of a mirror only.
  it('of a Service that is itself called as mirrors are, by its own name', async () => {
    await begin('db-west', 'web');
    const [own, ...others] = explained('db-west');
    expect(own).to.include({ service: 'demo/db-west', exported: true, reason: 'Mirrored' });
    expect(others).to.be.empty;
    expect(explained('web-west').map(({ service }) => service)).to.deep.equal(['demo/web']);
    expect(explained('web').map(({ service }) => service)).to.deep.equal(['demo/web']);
  });

  it('… and of both where the name means two', async () => {
    await begin('db-west', 'db');
    expect(explained('db-west').map(({ service }) => service)).to.deep.equal(['demo/db', 'demo/db-west']);
  });

  it('… and says of a name that nothing has what a mirror of it would be of', async () => {
    await begin('web');
    expect(explained('nobody-west').map(({ service, reason }) => [service, reason])).to.deep.equal([
      ['demo/nobody', 'NotExported'],
    ]);
  });

  // It was said not to be synced, and that no list had arrived.
  it('of an export that nobody has looked at yet says so', async () => {
    await begin('web');
    world.hold();
    world.export('late');
    await world.clock.advance(100);
    const [late] = explained('late');
    expect(late).to.include({ exported: true, reason: 'Pending', synced: true });
    expect(late?.meaning).to.contain('not been looked at yet');
  });
});

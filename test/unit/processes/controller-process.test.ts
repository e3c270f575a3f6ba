import { expect } from 'chai';
import { runController } from '../../../src/processes/controller-process.ts';
import { emptyApi, logThat, useSignals } from '../../support/in-process.ts';

describe('a controller process', () => {
  const signal = useSignals();

  // A SIGTERM between the answer and the end of the client that asked: the controller was built and started
  // after everything had been stopped, and nobody stopped it.
  it('begins nothing when it is told to end while it lets go of the client that asked for Linkerd', async () => {
    await using api = await emptyApi();
    let begun = 0;
    const log = logThat('starting', () => signal('SIGTERM'));
    await runController({
      log,
      access: api.access,
      admin: { host: '127.0.0.1', port: 0 },
      replica: 'one',
      namespace: 'links',
      dataPath: 'auto',
      scoped: false,
      settings: () => {
        begun++;
        throw new Error('it was begun');
      },
      openIdentity: undefined,
    });
    expect(begun).to.equal(0);
  });

  it('… and hears a signal that comes while it opens its identity', async () => {
    await using api = await emptyApi();
    const log = logThat('never', () => undefined);
    let closed = 0;
    await runController({
      log,
      access: api.access,
      admin: { host: '127.0.0.1', port: 0 },
      replica: 'one',
      namespace: 'links',
      dataPath: 'auto',
      scoped: false,
      settings: () => {
        throw new Error('it was begun');
      },
      openIdentity: () => {
        signal('SIGTERM');
        return Promise.resolve({
          current: () => undefined,
          subscribe: () => () => undefined,
          ready: { ok: true, reason: '' },
          close: () => {
            closed++;
            return Promise.resolve();
          },
        });
      },
    });
    expect(closed).to.equal(1);
  });
});

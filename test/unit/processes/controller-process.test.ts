import { expect } from 'chai';
import type { ClusterAccess } from '../../../src/kube/client/access.ts';
import { type ControllerProcess, runController } from '../../../src/processes/controller-process.ts';
import { captureLog } from '../../support/captured-log.ts';
import { closedIdentity, emptyApi, logThat, useSignals } from '../../support/in-process.ts';

/** Settings of a controller that must not begin. */
function controllerOf(access: ClusterAccess): ControllerProcess {
  return {
    log: captureLog().log,
    access,
    admin: { host: '127.0.0.1', port: 0 },
    replica: 'one',
    namespace: 'links',
    dataPath: 'auto',
    scoped: false,
    settings: () => {
      throw new Error('it was begun');
    },
    openIdentity: undefined,
  };
}

describe('a controller process', () => {
  const signal = useSignals();

  // A SIGTERM between the answer and the end of the client that asked: the controller was built and started
  // after everything had been stopped, and nobody stopped it.
  it('begins nothing when it is told to end while it lets go of the client that asked for Linkerd', async () => {
    await using api = await emptyApi();
    let begun = 0;
    const settings = () => {
      begun++;
      throw new Error('it was begun');
    };
    const log = logThat('starting', () => signal('SIGTERM'));
    await runController({ ...controllerOf(api.access), log, settings });
    expect(begun).to.equal(0);
  });

  it('… and hears a signal that comes while it opens its identity', async () => {
    await using api = await emptyApi();
    const identity = closedIdentity(() => signal('SIGTERM'));
    await runController({ ...controllerOf(api.access), openIdentity: identity.open });
    expect(identity.closed()).to.equal(1);
  });
});

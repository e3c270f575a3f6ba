import { expect } from 'chai';
import { DEFAULT_CONNECTION_AGE } from '../../../src/identity/trust/open-peers.ts';
import { runEgress } from '../../../src/processes/egress-process.ts';
import { captureLog } from '../../support/captured-log.ts';
import { closedIdentity, emptyApi, useSignals } from '../../support/in-process.ts';

describe('an egress process', () => {
  const signal = useSignals();

  // It listened for signals when all was open only: as the first process of a container it heard nothing of
  // one that came before, and was killed when its time was over.
  it('ends by a signal that comes while it starts, and lets go of what it has opened', async () => {
    await using api = await emptyApi();
    const identity = closedIdentity(() => signal('SIGTERM'));
    const { log, lines } = captureLog();
    await runEgress({
      log,
      access: api.access,
      openIdentity: identity.open,
      clusterDomain: 'cluster.local',
      namespace: 'links',
      namespaces: undefined,
      admin: { host: '127.0.0.1', port: 0 },
      clients: true,
      accessLog: 'off',
      accessLogQuery: false,
      openTapClient: undefined,
      tapPaths: true,
      meshOf: () => undefined,
      memberSelectors: ['mirror.linkerd.io/federated=member'],
      relayPolicy: 'all',
      listenAddress: '127.0.0.1',
      streams: true,
      connectionAge: DEFAULT_CONNECTION_AGE,
      tracing: undefined,
      graceMs: 1000,
    });
    expect(lines.map(({ msg }) => msg)).to.include('draining');
    expect(identity.closed()).to.equal(1);
  });
});

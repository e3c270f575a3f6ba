import { runSigner } from '../../../src/processes/signer-process.ts';
import { emptyApi, logThat, useSignals } from '../../support/in-process.ts';

describe('a signer process', () => {
  const signal = useSignals();

  // It listened for signals when all was open only: as the first process of a container it heard nothing of
  // one that came before, and was killed when its time was over.
  it('ends by a signal that comes while it starts', async () => {
    await using api = await emptyApi();
    const ended = runSigner({
      log: logThat('never', () => undefined),
      access: api.access,
      namespace: 'links',
      controlNamespace: 'links',
      trustDomain: 'cluster.local',
      maxCertificateLife: 60_000,
      credentialsRole: 'links-credentials',
      admin: { host: '127.0.0.1', port: 0 },
    });
    signal('SIGTERM');
    await ended;
  });
});

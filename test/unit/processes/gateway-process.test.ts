import { expect } from 'chai';
import { connect } from 'node:net';
import { systemClock } from '../../../src/base/clock.ts';
import { NO_POLICIES, type PolicySource } from '../../../src/gateway/authorization/policy-source.ts';
import { DEFAULT_CONNECTION_AGE } from '../../../src/identity/trust/open-peers.ts';
import { type GatewayRun, type OpenTargets, runAlone } from '../../../src/processes/gateway-process.ts';
import { LastResort } from '../../../src/telemetry/last-resort.ts';
import { captureLog } from '../../support/captured-log.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { closedIdentity, useSignals } from '../../support/in-process.ts';

const ANY = { host: '127.0.0.1', port: 0 };

const gatewayRun = (change: Pick<GatewayRun, 'log' | 'openIdentity' | 'openTargets'>): GatewayRun => ({
  lastResort: new LastResort({ log: change.log, clock: systemClock }),
  listen: ANY,
  listeners: [],
  admin: ANY,
  probe: ANY,
  tracing: undefined,
  graceMs: 1000,
  workers: 1,
  streams: true,
  connectionAge: DEFAULT_CONNECTION_AGE,
  maxPending: 100,
  connectionLimits: { handshakes: 100, connections: 1000 },
  accessLog: 'off',
  accessLogQuery: false,
  openTapClient: undefined,
  tapPaths: true,
  allowTrustDomains: [],
  trustedRelays: [],
  ...change,
});

const targetsWith = (policies: PolicySource, onClose: () => void): Promise<OpenTargets> =>
  Promise.resolve({
    targets: {
      get: () => undefined,
      keys: () => [],
      subscribe: () => () => undefined,
      ready: { ok: true, reason: '' },
      close: () => Promise.resolve(),
    },
    policies,
    sync: () => [],
    close: () => {
      onClose();
      return Promise.resolve();
    },
  });

/** Whether somebody takes connections. */
const takesConnections = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

describe('a gateway process', () => {
  const signal = useSignals();
  const signalled = () => signal('SIGTERM');
  const nothing = () => undefined;

  // It listened for signals when all was open only: as the first process of a container it heard nothing of
  // one that came before, and was killed when its time was over.
  for (const [when, onIdentity, onTargets] of [
    ['opens its identity', signalled, nothing],
    ['opens its targets', nothing, signalled],
  ] as const)
    it(`ends by a signal that comes while it ${when}, and lets go of what it has opened`, async () => {
      const identity = closedIdentity(onIdentity);
      const { log, lines } = captureLog();
      let closed = 0;
      const run = gatewayRun({
        log,
        openIdentity: identity.open,
        openTargets: () => {
          onTargets();
          return targetsWith(NO_POLICIES, () => closed++);
        },
      });
      await runAlone(run);
      expect(lines.map(({ msg }) => msg)).to.include('draining');
      expect([identity.closed(), closed]).to.deep.equal([1, 1]);
    });

  // A gateway that was killed and came back answered 403 (its policies were not known yet) or 404, which
  // ended requests that other clusters would have served.
  it('takes no connection before it knows what is served, and to whom', async () => {
    const { log, lines } = captureLog();
    const health = { ok: false, reason: 'policies are not known yet' };
    const policies = { ...NO_POLICIES, ready: health };
    const [listen, probe] = [await freePort(), await freePort()];
    const running = runAlone({
      ...gatewayRun({
        log,
        openIdentity: closedIdentity(nothing).open,
        openTargets: () => targetsWith(policies, nothing),
      }),
      listen: { host: '127.0.0.1', port: listen },
      probe: { host: '127.0.0.1', port: probe },
    });
    const says = async () => (await fetch(`http://127.0.0.1:${probe}/ready`)).status;
    await eventually('its probe answers', async () => (await says()) === 503);
    expect(await takesConnections(listen)).to.equal(false);
    health.ok = true;
    await eventually('it listens', () => lines.some(({ msg }) => msg === 'gateway listens'));
    expect(await takesConnections(listen)).to.equal(true);
    expect(await says()).to.equal(200);
    signalled();
    await running;
  });
});

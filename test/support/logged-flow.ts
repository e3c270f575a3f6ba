import type { LoggedFlow, LoggedSession } from '../../src/proxy/downstream/access-log.ts';
import { NO_ACCESS_LOG } from '../../src/proxy/downstream/access-log.ts';
import { VirtualClock } from './virtual-clock.ts';

/** A session as an access log or a tap sees it. */
export function loggedSession(
  said: Partial<Omit<LoggedSession, 'target'>> & { readonly target?: string | undefined } = {},
): LoggedSession {
  const { target = 'web.demo.svc.cluster.local:80', ...rest } = said;
  return {
    accessLog: NO_ACCESS_LOG,
    clientName: 'default.east.serviceaccount.identity.linkerd.east.example',
    client: { remoteAddress: '10.9.0.1' },
    clock: new VirtualClock(0),
    ...rest,
    target: { label: target },
  };
}

/** A request of it that is over. */
export function loggedFlow(said: Partial<LoggedFlow> = {}): LoggedFlow {
  return {
    protocol: 'http2',
    method: 'GET',
    path: '/cart',
    status: 200,
    grpcStatus: undefined,
    bytesIn: 10,
    bytesOut: 20,
    firstByteMs: 1,
    startedAt: 0,
    hold: undefined,
    ...said,
  };
}

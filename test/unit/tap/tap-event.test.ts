import { expect } from 'chai';
import { readTapEvent } from '../../../src/api/answers/tap-events.ts';
import { entryOf, type LoggedFlow } from '../../../src/proxy/downstream/access-log.ts';
import { ProxyFailure } from '../../../src/proxy/http/failures.ts';
import { makeField } from '../../../src/proxy/http/fields.ts';
import { pathOf, tapFlow, type TapPlaces } from '../../../src/tap/tap-event.ts';
import { loggedFlow, loggedSession } from '../../support/logged-flow.ts';

const GATEWAY: TapPlaces = { process: 'gateway', clusterOf: () => undefined, clusterAt: () => undefined };
const SEEN = { id: 'a-1', at: 5, type: 'flow' } as const;

function seen(flow: Partial<LoggedFlow>, failure?: ProxyFailure, places = GATEWAY) {
  const entry = entryOf(loggedSession(), loggedFlow(flow), { endpoint: '10.1.2.3:8080' }, failure);
  return tapFlow(entry, places, SEEN);
}

describe('What a tap shows of a request', () => {
  it('is what the table of the reference says, and can be read again', () => {
    const event = seen({}, new ProxyFailure('failfast', 'no ready endpoints for web'));
    expect(readTapEvent(JSON.stringify(event))).to.deep.equal(JSON.parse(JSON.stringify(event)));
    expect(event).to.deep.include({
      v: 1,
      type: 'flow',
      side: 'target',
      target: {
        name: 'web',
        port: '80',
        namespace: 'demo',
        service: 'web',
        cluster: undefined,
      },
      method: 'GET',
      path: '/cart',
      endpoint: '10.1.2.3:8080',
      failure: 'failfast',
      reason: 'no ready endpoints for web',
    });
    expect(event.client).to.include({ address: '10.9.0.1', proven: true });
  });

  it('says which trace it is a part of, where it is recorded and where it only says so', () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const context = [makeField('traceparent', `00-${traceId}-00f067aa0ba902b7-00`)];
    expect(seen({ context }).traceId).to.equal(traceId);
    expect(seen({ context, trace: { traceId: 'f'.repeat(32) } }).traceId).to.equal('f'.repeat(32));
    const event = seen({ context: [makeField('traceparent', '\u001b[2J')] });
    expect(event.traceId).to.equal(undefined);
    expect(readTapEvent(JSON.stringify(seen({ context })))).to.include({ traceId });
  });

  it('says at an egress to which cluster, by which gateway, and no identity that nobody has proven', () => {
    const places: TapPlaces = {
      process: 'egress',
      clusterOf: () => undefined,
      clusterAt: (endpoint) => (endpoint === '10.1.2.3:8080' ? 'west' : undefined),
    };
    const entry = entryOf(
      loggedSession({ target: 'demo/web-federated:80', clientName: '10.9.0.1' }),
      loggedFlow(),
      { endpoint: '10.1.2.3:8080' },
    );
    const { client, target, gateway, side } = tapFlow(entry, places, SEEN);
    expect(client).to.deep.equal({ identity: undefined, address: '10.9.0.1', proven: false, via: undefined });
    expect(target).to.include({ mirror: 'web-federated', namespace: 'demo', cluster: 'west' });
    expect([gateway, side]).to.deep.equal(['10.1.2.3:8080', 'source']);
  });

  for (const [path, shown] of [
    ['/login?token=secret', '/login'],
    ['/a#b?c', '/a'],
    ['http://user:secret@host/way?q=secret', '/way'],
    ['http://user:secret@host', '/'],
    ['user:secret@host:443', undefined],
    ['*', '*'],
    ['?q=secret', undefined],
  ] as const)
    it(`has of the path ${path} only ${String(shown)}`, () => {
      expect(pathOf({ path })).to.equal(shown);
      expect(JSON.stringify(seen({ path }))).not.to.contain('secret');
    });

  it('moves nobody its terminal, whichever word has an escape in it', () => {
    const evil = '/\u001b[2J\u009b31m\u202e\r\n\u0007';
    const failure = new ProxyFailure('unauthorized', evil);
    const entry = entryOf(
      loggedSession({ target: `${evil}.demo.svc:80`, clientName: evil, via: evil }),
      loggedFlow({ path: evil, method: `GET${evil}` }),
      undefined,
      failure,
    );
    const text = JSON.stringify(Object.values(tapFlow(entry, GATEWAY, SEEN)));
    // oxlint-disable-next-line no-control-regex -- they are what this is about
    expect(JSON.parse(text).flat().map(String).join('')).not.to.match(/[\u0000-\u001f\u007f-\u009f\u202e]/);
    expect(seen({ path: '/a\u001b[2J' }).path).to.equal('/a\\u{1b}[2J');
  });

  it('is cut at 256 bytes, between characters', () => {
    expect(seen({ path: `/${'a'.repeat(300)}` }).path).to.equal(`/${'a'.repeat(255)}…`);
    expect(seen({ path: `/${'é'.repeat(300)}` }).path).to.equal(`/${'é'.repeat(127)}…`);
    expect(seen({ path: `/${'a'.repeat(255)}` }).path).to.equal(`/${'a'.repeat(255)}`);
  });

  it('does not quote a head that could not be read', () => {
    for (const kind of ['bad request', 'bad target response'] as const)
      expect(seen({}, new ProxyFailure(kind, 'the transfer coding "secret" is not chunked')).reason).to.equal(
        undefined,
      );
  });
});

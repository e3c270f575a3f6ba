import { expect } from 'chai';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { NO_NAMESPACE_RULES } from '../../../../src/egress/clients/namespace-rules.ts';
import type { RelayedService } from '../../../support/egress-process.ts';
import { eventually } from '../../../support/eventually.ts';
import { ListedClients, pod } from '../../../support/listed-clients.ts';
import { http1Origin, type Origin, rawOrigin } from '../../../support/origins.ts';
import { type Relay, startRelay } from '../../../support/relay.ts';
import { service } from '../../../support/wire-gateway.ts';

const EGRESS = 'linkspan-egress.linkspan.serviceaccount.identity.linkerd.east';
const OTHER = '127.0.0.12';
const LATE = '127.0.0.13';
const FRIEND = '127.0.0.14';

// Whoever was let in before a mirror was closed, and holds a connection, would go on for as long as he likes.
describe('what is said of the clients of a mirror', () => {
  let relay: Relay;
  let raw: Origin;
  let web: Origin;
  let told: (namespace: string | undefined) => void = () => undefined;
  let namespace: readonly string[] | undefined;
  const clients = new ListedClients({ [OTHER]: [pod('other', 'web')] });
  const services = (more: Partial<RelayedService> = {}): RelayedService[] => [
    { name: 'raw', protocol: 'opaque', ...more },
    { name: 'web', ...more },
    { name: 'kept', protocol: 'opaque' },
  ];

  before(async () => {
    [raw, web] = [await rawOrigin(), await http1Origin()];
    relay = await startRelay({
      as: EGRESS,
      specs: [
        service('raw', [raw.port]),
        service('kept', [raw.port]),
        { ...service('web', [web.port]), protocol: 'http1' },
      ],
      services: services(),
      egress: {
        clients,
        namespaceRules: {
          ...NO_NAMESPACE_RULES,
          allowed: () => namespace,
          subscribe: (listener) => {
            told = listener;
            return () => undefined;
          },
        },
      },
    });
  });
  after(async () => {
    await relay.close();
    raw.close();
    web.close();
  });
  afterEach(() => {
    namespace = undefined;
    relay.say(services());
  });

  const open = async (name: string) => {
    const socket = await relay.clientAt(OTHER).connect(name);
    socket.write(name !== 'web' ? 'x' : 'GET /hello HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(socket, 'data');
    return socket;
  };

  it('ends the raw connections that it shuts out, and no others', async () => {
    const socket = await open('raw');
    const kept = await relay.client.connect('raw');
    clients.set('127.0.0.1', pod('friends', 'web'));
    kept.write('x');
    await once(kept, 'data');
    relay.say(services({ allowedNamespaces: ['friends'] }));
    await eventually('it is ended', () => socket.closed || socket.readableEnded);
    kept.write('still there');
    await once(kept, 'data');
    kept.destroy();
  });

  it('holds for the next request of an open connection, also when the Namespace says it', async () => {
    const socket = await open('web');
    namespace = ['friends'];
    told('demo');
    socket.write('GET /hello HTTP/1.1\r\nhost: x\r\n\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(String(answer)).to.match(/^HTTP\/1\.1 403 /);
    namespace = undefined;
    told(undefined);
    socket.write('GET /hello HTTP/1.1\r\nhost: x\r\n\r\n');
    const [again] = (await once(socket, 'data')) as [Buffer];
    expect(String(again)).to.match(/^HTTP\/1\.1 200 /);
    socket.destroy();
  });

  it('lets a client that becomes known say all that it has said meanwhile, its end included', async () => {
    relay.say(services({ allowedNamespaces: ['late'] }));
    const guest = relay.clientAt(LATE);
    const socket = await guest.connect('raw');
    socket.end('all of it');
    const [asked] = [guest.request('http1', 'web', { path: '/hello' })];
    await eventually('both wait', () => clients.waiting(LATE) === 2);
    clients.set(LATE, pod('late', 'web'));
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await once(socket, 'end');
    expect([text, (await asked).status]).to.deep.equal(['all of it', 200]);
  });

  const ended = (socket: Socket) => socket.closed || socket.readableEnded;
  const grace = { everyMs: 50 };

  /** An answer that goes on as long as its request does. */
  async function answering(at: string): Promise<Socket> {
    const socket = await relay.clientAt(at).connect('web');
    socket.on('error', () => undefined);
    socket.write('POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n');
    await once(socket, 'data');
    return socket.resume();
  }

  // Only raw connections were ended: a download or a stream of events of somebody who was shut out went on
  // for ever.
  it('ends an answer that is under way within ten seconds, and no other', async () => {
    clients.set(FRIEND, pod('friends', 'web'));
    const [out, friend] = [await answering(OTHER), await answering(FRIEND)];
    relay.say(services({ allowedNamespaces: ['friends'] }));
    await eventually('it is ended', () => ended(out), grace);
    // What has come of it looked like all of it where its end is that of the connection.
    expect(out.errored).to.have.property('code', 'ECONNRESET');
    expect(ended(friend)).to.equal(false);
    friend.destroy();
  });

  // A raw flow, or an answer, on a mirror that had been taken away went on for as long as its ends liked.
  it('is nothing any more when the mirror is gone: what is under way ends within ten seconds', async () => {
    const [socket, answer, kept] = [await open('raw'), await answering(OTHER), await open('kept')];
    relay.say(services().slice(2));
    await eventually('both are ended', () => ended(socket) && ended(answer), grace);
    kept.write('still there');
    await once(kept, 'data');
    kept.destroy();
  });

  // The heir of an address had whatever connection the egress still took for that of the pod before.
  it('is held against whoever has the address now: raw connections of an heir end', async () => {
    relay.say(services({ allowedNamespaces: ['friends'] }));
    clients.set(FRIEND, pod('friends', 'web'));
    const socket = await relay.clientAt(FRIEND).connect('raw');
    socket.write('x');
    await once(socket, 'data');
    clients.set(FRIEND, pod('friends', 'web', { leaving: true }));
    socket.write('still there');
    await once(socket, 'data');
    clients.set(FRIEND, pod('friends', 'web', { leaving: true }), pod('other', 'heir'));
    await eventually('it is ended', () => ended(socket));
  });

  // Links are replaced, and gateways move: neither takes anything from those who may use the mirror, whose
  // flows are on the former way. What is said of the clients has to reach them there.
  it('reaches those who came by a former way of the mirror, and takes nothing from them else', async () => {
    const socket = await open('raw');
    relay.say([]);
    relay.say(services());
    relay.route({ addresses: ['127.0.0.1'], port: relay.local.port, identity: 'somebody.else' });
    socket.write('still there');
    await once(socket, 'data');
    relay.say(services({ allowedNamespaces: ['friends'] }));
    await eventually('it is ended', () => ended(socket), grace);
    relay.route({ addresses: ['127.0.0.1'], port: relay.local.port, identity: 'gateway.west' });
  });
});

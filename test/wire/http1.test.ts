import { expect } from 'chai';
import { once } from 'node:events';
import tls from 'node:tls';
import { encodeTransportHeader } from '../../src/proxy/io/transport-header.ts';
import { eventually } from '../support/eventually.ts';
import { Tap, WireClient } from '../support/wire-client.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';
import { answering, type Heard, WireTarget } from '../support/wire-target.ts';

const WEB = 'web.demo.svc.cluster.local';
const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const get = (path: string, ...lines: string[]) =>
  `${[`GET ${path} HTTP/1.1`, ...lines].join('\r\n')}\r\n\r\n`;
const ok = (body: string) => `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`;

/** What happens on one client connection, with a target whose every byte is given. */
describe('HTTP/1 at the gateway', () => {
  let gateway: WireGateway;
  let target: WireTarget;
  /** What the target does; each test has its own. */
  let script: (connection: Heard, text: string) => void = () => undefined;

  before(async () => {
    target = await WireTarget.start((connection, text) => script(connection, text));
    gateway = await WireGateway.start([service(WEB, [target.port])]);
  });

  after(async () => {
    await gateway.close();
    await target.close();
  });

  beforeEach(() => target.forget());
  afterEach(async () => {
    // Tests do not see one another's connections; and whatever went before, the next client is served.
    for (const { socket } of target.connections) socket.destroy();
    await eventually('the connections are gone', () => target.connections.every(({ closed }) => closed));
    script = answering(() => ok('ok'));
    const client = await gateway.open(WEB, 'http1');
    await client.send(get('/a', 'connection: close')).hears(/ok$/);
    client.socket.destroy();
    target.forget();
    script = () => undefined;
  });

  const open = () => gateway.open(WEB, 'http1');

  describe('requests', () => {
    const targets: readonly (readonly [story: string, line: string, atTarget: string])[] = [
      ['absolute-form', 'GET http://evil.example/a?b=c HTTP/1.1', 'GET /a?b=c HTTP/1.1'],
      ['absolute-form without a path', 'GET http://evil.example HTTP/1.1', 'GET / HTTP/1.1'],
      ['absolute-form with a query only', 'GET http://evil.example?b HTTP/1.1', 'GET /?b HTTP/1.1'],
      ['absolute-form with userinfo', 'GET http://me:pw@evil.example/a HTTP/1.1', 'GET /a HTTP/1.1'],
      ['asterisk-form', 'OPTIONS * HTTP/1.1', 'OPTIONS * HTTP/1.1'],
      ['odd but legal bytes', 'GET /%00/../;a=b?c[]=\'"|{} HTTP/1.1', 'GET /%00/../;a=b?c[]=\'"|{} HTTP/1.1'],
      ['an unknown method', 'PURGE /a HTTP/1.1', 'PURGE /a HTTP/1.1'],
    ];
    for (const [story, line, atTarget] of targets) {
      it(`in ${story} are forwarded with the service's own host`, async () => {
        script = answering(() => ok('ok'));
        const client = await open();
        await client.send(`${line}\r\nhost: evil.example\r\n\r\n`).hears(/ok$/);
        expect(target.text.split('\r\n')[0]).to.equal(atTarget);
        expect(target.text.match(/^host: .*$/gim)).to.deep.equal([`host: ${WEB}`]);
        expect(target.text).not.to.contain('evil');
      });
    }

    it('may have empty lines before them', async () => {
      script = answering(() => ok('ok'));
      const client = await open();
      await client.send(`\r\n\r\n${GET}\r\n${GET}`).hears(/ok[^]*ok$/);
    });

    it('may come byte by byte', async () => {
      script = (connection, text) => {
        if (text.endsWith('x-sum: 1\r\n\r\n')) connection.say(ok('ok'));
      };
      const client = await open();
      const text = `POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n`;
      for (const byte of text) await client.sendAlone(byte);
      await client.hears(/ok$/);
      await eventually('all has come', () =>
        target.text.endsWith('\r\n\r\n3;x=y\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n'),
      );
    });

    it('that are pipelined are answered in their order, even if the first is slow', async () => {
      let slow: Heard | undefined;
      script = answering((path, connection) => {
        if (path !== '/slow') return ok(path);
        slow = connection;
        return '';
      });
      const client = await open();
      client.send(get('/slow') + get('/b') + get('/c'));
      await eventually('the first has come', () => slow);
      expect(target.text).not.to.contain('/b');
      slow?.say(ok('/slow'));
      expect(await client.hears(/\/c$/)).to.match(/\/slow[^]*\/b[^]*\/c$/);
    });

    it('that are pipelined by the thousand, and answered here, do not nest', async () => {
      // Each is refused at once, as a loop. A parser that calls itself for the next one ends the whole
      // process with the stack.
      let slow: Heard | undefined;
      script = (connection) => (slow = connection);
      const client = await open();
      client.send(get('/slow'));
      await eventually('the first has come', () => slow);
      const loop = get('/', 'forwarded: by=gateway.west');
      const count = Math.floor((60 * 1024) / loop.length);
      client.send(loop.repeat(count));
      slow?.say(ok('first'));
      await eventually(
        'all are answered',
        () => (client.text.match(/HTTP\/1\.1 508/g) ?? []).length === count,
      );
    });

    it('whose client gives up are given up at the target, which would work for nobody', async () => {
      // A client that closes says so by a FIN (TCP has no other word for it): the target worked on, and its
      // answer went nowhere.
      for (const request of [get('/slow'), 'POST /b HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc']) {
        const client = await open();
        client.send(request);
        await eventually('it has come', () => target.text.endsWith(request.slice(-4)));
        client.end();
        await eventually('the target hears of it', () => isOver(target.connections.at(-1)));
        expect(await client.whole()).to.equal('');
        target.forget();
      }
    });

    it('that are answered when the client ends are whole, and those behind them are not begun', async () => {
      let slow: Heard | undefined;
      script = (connection, text) => {
        if (text.includes('/slow')) slow = connection;
        else if (text.includes('/a')) connection.say(ok('/a'));
      };
      const client = await open();
      client.send(get('/a') + get('/slow') + get('/c'));
      await eventually('the second has come', () => slow);
      client.end();
      expect(await client.whole()).to.match(/^HTTP\/1\.1 200 [^]*\/a$/);
      await eventually('the target is rid of it', () =>
        target.connections.every((connection) => isOver(connection)),
      );
      expect(target.text).to.not.include('/c');
    });

    it('whose answer has begun when the client ends are not ended as though they were whole', async () => {
      script = (connection) => connection.say('HTTP/1.1 200 OK\r\n\r\nhalf');
      const tap = await Tap.connect(gateway.port);
      const socket = tls.connect({ ...gateway.settings(), socket: tap });
      socket.on('error', () => undefined);
      await once(socket, 'secureConnect');
      const client = new WireClient(socket);
      client.send(encodeTransportHeader({ name: WEB, port: 80, protocol: 'http1' }), get('/half'));
      await client.hears(/half$/);
      client.end();
      await eventually('the target hears of it', () => isOver(target.connections.at(-1)));
      await eventually('it is over', () => client.closed || client.ended);
      expect(tap.endedProperly).to.equal(false);
      tap.destroy();
    });

    it('that the client does not finish are not finished for the target', async () => {
      const client = await open();
      client.send('POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n');
      await eventually('it has begun', () => target.text.endsWith('abc\r\n'));
      client.end();
      await eventually('the target hears of it', () => target.connections.at(-1)?.ended);
      expect(target.text).to.match(/abc\r\n$/);
      expect(await client.whole()).to.equal('');
    });

    it('that expect 100-continue get it from the target, and the body goes when the client sends it', async () => {
      script = (connection, text) => {
        if (text.endsWith('expect: 100-continue\r\n\r\n')) return;
        if (text.endsWith('abc')) connection.say(ok('thanks'));
        else if (!text.includes('abc') && connection.answered++ === 0)
          connection.say('HTTP/1.1 100 Continue\r\n\r\n');
      };
      const client = await open();
      client.send('POST /a HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n');
      await client.hears(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
      expect(target.text).to.match(/expect: 100-continue\r\n/);
      await client.send('abc').hears(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 [^]*thanks$/);
    });

    it('that expect 100-continue and are refused by the target end the connection: the body might follow or not', async () => {
      script = answering(() => 'HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n');
      const client = await open();
      client.send('POST /a HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n');
      expect(await client.whole()).to.match(/^HTTP\/1\.1 417 No\r\n[^]*connection: close\r\n/);
    });

    it('that are answered before they are complete are told that the connection ends', async () => {
      // A client that was not told put the connection among its unused ones, and lost its next request to the
      // end: 502, once in 100 uploads.
      script = answering(() => ok('enough'));
      const client = await open();
      client.send('POST /a HTTP/1.1\r\ncontent-length: 6\r\n\r\nabc');
      await client.hears(/enough$/);
      client.send('def');
      expect(await client.whole()).to.match(/^HTTP\/1\.1 200 OK\r\n[^]*connection: close\r\n[^]*enough$/);
    });

    it('are carried on to their end when the answer has begun before, also on a connection that closes then', async () => {
      // A streaming echo: with `connection: close` the gateway once dropped what came behind the response's
      // head, and both sides waited for ever.
      script = (connection, text) => {
        const pieces = text.split('\r\n\r\n').slice(1).join('\r\n\r\n');
        if (connection.answered++ === 0)
          connection.say('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
        if (pieces.endsWith('0\r\n\r\n')) connection.say('4\r\ndone\r\n0\r\n\r\n');
      };
      const client = await open();
      client.send('POST /a HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n');
      await client.hears(/^HTTP\/1\.1 200 /);
      client.send('1\r\nb\r\n0\r\n\r\n');
      expect(await client.whole()).to.match(/done\r\n0\r\n\r\n$/);
    });

    it('keep their trailers', async () => {
      script = (connection, text) => {
        if (text.endsWith('x-sum: 1\r\n\r\n')) connection.say(ok('ok'));
      };
      const client = await open();
      client.send(
        'POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n0\r\nx-sum: 1\r\n\r\n',
      );
      await client.hears(/ok$/);
      expect(target.text).to.match(/\r\n\r\n0\r\nx-sum: 1\r\n\r\n$/);
    });
  });

  describe('HTTP/1.0', () => {
    it('is closed behind the answer', async () => {
      script = answering(() => ok('ok'));
      const client = await open();
      expect(await client.send('GET /a HTTP/1.0\r\n\r\n').whole()).to.match(
        /\r\nconnection: close\r\n[^]*ok$/,
      );
      expect(target.text).to.match(/^GET \/a HTTP\/1\.0\r\n/);
    });

    it('is kept when it asks for that', async () => {
      script = answering((path) => `HTTP/1.0 200 OK\r\ncontent-length: ${path.length}\r\n\r\n${path}`);
      const client = await open();
      await client
        .send('GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n')
        .hears(/connection: keep-alive[^]*\/a$/);
      await client.send('GET /b HTTP/1.0\r\nconnection: keep-alive\r\n\r\n').hears(/\/b$/);
    });

    it('is not kept when the answer has no length', async () => {
      script = (connection, text) => {
        answering(() => 'HTTP/1.0 200 OK\r\n\r\nall')(connection, text);
        connection.socket.end();
      };
      const client = await open();
      client.send('GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n');
      expect(await client.whole()).to.match(/\r\nconnection: close\r\n\r\nall$/);
    });

    it('is never told 100', async () => {
      script = answering(() => `HTTP/1.1 100 Continue\r\n\r\n${ok('ok')}`);
      const client = await open();
      expect(await client.send('GET /a HTTP/1.0\r\n\r\n').whole()).to.match(/^HTTP\/1\.1 200 /);
    });

    it('cannot upgrade', async () => {
      script = answering(() => ok('ok'));
      const client = await open();
      await client.send('GET /a HTTP/1.0\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n').whole();
      expect(target.text).not.to.match(/upgrade/i);
    });
  });

  describe('Upgrade', () => {
    const ask = get('/a', 'connection: upgrade', 'upgrade: echo');
    const yes = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n';

    it('accepted makes a tunnel, with what came at once behind both heads', async () => {
      let agreed = false;
      script = (connection, text) => {
        if (!agreed) connection.say(`${yes}welcome`);
        else connection.say(text.slice(-1));
        agreed = true;
      };
      const client = await open();
      await client.send(ask).hears(/^HTTP\/1\.1 101 [^]*upgrade: echo\r\n\r\nwelcome$/);
      expect(target.text).to.match(/connection: upgrade\r\nupgrade: echo\r\n/);
      await client.send('x').hears(/welcomex$/);
      target.connections.at(-1)?.socket.end();
      await client.whole();
    });

    it('refused by the target is an answer like others, and the connection is used on', async () => {
      script = answering((path) => ok(path));
      const client = await open();
      await client.send(ask + get('/b')).hears(/200 [^]*\/a[^]*200 [^]*\/b$/);
    });

    it('that nobody asked for is the failure of the target', async () => {
      script = answering(() => `${yes}welcome`);
      const client = await open();
      expect(await client.send(GET).hears(/not asked for/)).to.match(/^HTTP\/1\.1 502 /);
    });
  });

  /**
   * A target that was taken over, or is broken, must not be able to answer other clients' requests, nor make
   * cut answers look whole.
   */
  describe('answers of a target that', () => {
    const wrong: readonly (readonly [story: string, answer: string])[] = [
      [
        'have both a length and chunks',
        'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      ],
      ['have two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd'],
      ['have two equal lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc'],
      ['have a length that is none', 'HTTP/1.1 200 OK\r\ncontent-length: 3x\r\n\r\nabc'],
      ['have an unknown coding', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc'],
      ['have chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
      ['have a bare LF in a field', 'HTTP/1.1 200 OK\r\nx-a: b\nset-cookie: c\r\ncontent-length: 0\r\n\r\n'],
      ['have a bare CR in a field', 'HTTP/1.1 200 OK\r\nx-a: b\rset-cookie: c\r\ncontent-length: 0\r\n\r\n'],
      ['have NUL in a field', 'HTTP/1.1 200 OK\r\nx-a: \0\r\ncontent-length: 0\r\n\r\n'],
      ['are folded', 'HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 0\r\n\r\n'],
      ['have a blank before the colon', 'HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n'],
      ['have a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
      ['have a status of 099', 'HTTP/1.1 099 OK\r\n\r\n'],
      ['are no HTTP', 'SSH-2.0-OpenSSH_9.0\r\n\r\n'],
      ['are HTTP/2', 'HTTP/2 200 OK\r\n\r\n'],
      ['have a head without end', `HTTP/1.1 200 OK\r\nx-a: ${'y'.repeat(70_000)}`],
      ['have 2,001 fields', `HTTP/1.1 200 OK\r\n${'x-a: b\r\n'.repeat(2001)}\r\n`],
      ['never end to announce themselves', 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n'.repeat(200)],
    ];
    for (const [story, answer] of wrong) {
      it(`${story}: 502, and none of it reaches the client`, async () => {
        script = answering(() => answer);
        const before = gateway.failures['bad target response'] ?? 0;
        const client = await open();
        const text = (await client.send(GET).hears(/l5d-proxy-error[^]*\r\n\r\n.+\n$/)).replace(
          /HTTP\/1\.1 103[^]*?\r\n\r\n/g,
          '',
        );
        expect(text).to.match(/^HTTP\/1\.1 502 /);
        expect(text.match(/HTTP\/1\.1/g)).to.have.length(1);
        expect(text).not.to.contain('set-cookie');
        expect(gateway.failures['bad target response']).to.equal(before + 1);
        await eventually('the connection is not used again', () => isOver(target.connections.at(-1)));
      });
    }

    it('announce themselves without end are cut off before they fill the memory', async () => {
      script = answering(() => 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n'.repeat(200));
      const client = await open();
      await client.send(GET).hears(/502/);
      expect((client.text.match(/ 103 /g) ?? []).length).to.be.at.most(32);
    });

    it('have a body behind HEAD: it is not passed on, nor read as the next answer', async () => {
      script = answering((path) => (path === '/head' ? ok('body') : ok('next')));
      const client = await open();
      client.send('HEAD /head HTTP/1.1\r\n\r\n');
      await client.hears(/^HTTP\/1\.1 200 OK\r\ncontent-length: 4\r\n\r\n$/);
      await client.send(GET).hears(/next$/);
      expect(client.text).not.to.contain('body');
    });

    it('have a body behind 204 and 304: it is not passed on, and 204 has no length', async () => {
      for (const status of [204, 304]) {
        script = answering((path) =>
          path === '/a' ? `HTTP/1.1 ${status} X\r\ncontent-length: 4\r\n\r\nbody` : ok('next'),
        );
        const client = await open();
        await client.send(get('/a')).hears(new RegExp(`^HTTP/1.1 ${status} X\\r\\n[^]*\\r\\n$`));
        if (status === 204) expect(client.text).not.to.match(/content-length/);
        await client.send(get('/b')).hears(/next$/);
        expect(client.text).not.to.contain('body');
      }
    });

    it('come twice: the second is not for anybody', async () => {
      // Response splitting: what is left on a connection would be the answer to the request of the next
      // client.
      script = answering((path) => (path === '/a' ? ok('first') + ok('poison') : ok('honest')));
      const attacker = await open();
      await attacker.send(get('/a')).hears(/first$/);
      for (let n = 0; n < 5; n++) {
        const victim = await open();
        expect(await victim.send(get('/b')).hears(/\r\n\r\n.+$/)).to.match(/honest$/);
      }
      expect(attacker.text).not.to.contain('poison');
    });

    it('come unasked on an unused connection are not for the next request', async () => {
      script = answering((path) => ok(path));
      const client = await open();
      await client.send(get('/a')).hears(/\/a$/);
      target.connections.at(-1)?.say(ok('poison'));
      await eventually('the connection is not used again', () => target.connections.at(-1)?.ended);
      expect(await client.send(get('/b')).hears(/\/b$/)).not.to.contain('poison');
    });

    it('have interim answers: 103 is passed on, without a length', async () => {
      script = answering(() => `HTTP/1.1 103 Early Hints\r\nlink: y\r\ncontent-length: 5\r\n\r\n${ok('ok')}`);
      const client = await open();
      await client.send(GET).hears(/^HTTP\/1\.1 103 Early Hints\r\nlink: y\r\n\r\nHTTP\/1\.1 200 [^]*ok$/);
    });

    it('have trailers: they are passed on, but not those that say how to frame or route', async () => {
      script = answering(
        () =>
          'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\ncontent-length: 9\r\n\r\n',
      );
      const client = await open();
      await client.send(GET).hears(/2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n$/);
      script = answering(() => ok('next'));
      await client.send(GET).hears(/next$/);
    });
  });

  /** A download that was cut must not look whole: a truncated backup, a truncated policy. */
  describe('answers that are cut', () => {
    /** A client that also sees whether TLS was closed with its alert. */
    async function tapped(): Promise<{ client: WireClient; tap: Tap }> {
      const tap = await Tap.connect(gateway.port);
      const socket = tls.connect({ ...gateway.settings(), socket: tap });
      socket.on('error', () => undefined);
      await once(socket, 'secureConnect');
      const client = new WireClient(socket);
      client.send(encodeTransportHeader({ name: WEB, port: 80, protocol: 'http1' }));
      return { client, tap };
    }

    const cuts: readonly (readonly [story: string, answer: string, how: 'end' | 'reset' | 'junk'])[] = [
      ['with a length, closed', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf', 'end'],
      ['with a length, reset', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf', 'reset'],
      [
        'in chunks, closed in a chunk',
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nhalf',
        'end',
      ],
      [
        'in chunks, closed between two',
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n',
        'end',
      ],
      [
        'in chunks, closed in the trailers',
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n',
        'end',
      ],
      [
        'in chunks, with framing that is none',
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf',
        'junk',
      ],
      ['without a length, reset', 'HTTP/1.1 200 OK\r\n\r\nhalf', 'reset'],
    ];
    for (const [story, answer, how] of cuts) {
      it(`${story}: the client sees that`, async () => {
        const counts = gateway.failures;
        script = answering(() => answer);
        const { client, tap } = await tapped();
        client.send(GET);
        await client.hears(/half/);
        const { socket } = target.connections.at(-1) ?? {};
        if (how === 'end') socket?.end();
        else if (how === 'junk') socket?.write('what?');
        else socket?.resetAndDestroy();
        expect(await client.whole()).to.match(/^HTTP\/1\.1 200 /);
        expect(client.text).not.to.match(/\r\n0\r\n\r\n$/);
        await eventually('the connection is gone', () => tap.destroyed || tap.readableEnded);
        expect(tap.endedProperly, 'TLS must not be closed as if all had been said').to.equal(false);
        const kinds = Object.keys(gateway.failures).filter((kind) => gateway.failures[kind] !== counts[kind]);
        expect(kinds).to.have.length(1);
      });
    }

    it('and those that end with the connection, as they should, end properly', async () => {
      script = (connection, text) => {
        answering(() => 'HTTP/1.1 200 OK\r\n\r\nall')(connection, text);
        connection.socket.end();
      };
      const { client, tap } = await tapped();
      client.send(GET);
      await eventually('all is there', () => client.ended);
      expect(client.text).to.match(/\r\nconnection: close\r\n[^]*all$/);
      expect(tap.endedProperly).to.equal(true);
    });
  });

  describe('targets that are gone', () => {
    it('before they have answered: 502 says so', async () => {
      script = (connection) => connection.socket.end();
      const client = await open();
      expect(await client.send(GET).hears(/502 [^]*\n$/)).to.match(
        /closed the connection before it answered/,
      );
    });

    it('while their connection is unused: the next request goes over a new one', async () => {
      script = answering((path) => ok(path));
      const client = await open();
      await client.send(get('/a')).hears(/\/a$/);
      const first = target.connections.at(-1);
      // Both at once: the request and the end of the unused connection cross on the wire.
      first?.socket.resetAndDestroy();
      await client.send(get('/b')).hears(/\/b$/);
    });
  });
});

/**
 * Opaque bytes have no framing at all: how a connection ends is all that either side knows about whether it
 * has everything.
 */
describe('raw bytes at the gateway', () => {
  let gateway: WireGateway;
  let target: WireTarget;

  before(async () => {
    target = await WireTarget.start();
    gateway = await WireGateway.start([service(WEB, [target.port])]);
  });

  after(async () => {
    await gateway.close();
    await target.close();
  });

  async function flow(): Promise<{ client: WireClient; heard: Heard }> {
    target.forget();
    const before = target.connections.length;
    const client = await gateway.open(WEB, 'opaque');
    client.send('up');
    await eventually('the target is connected', () => target.connections[before]?.text === 'up');
    const heard = target.connections[before];
    if (heard === undefined) throw new Error('there is no connection');
    heard.say('down');
    await client.hears(/down$/);
    return { client, heard };
  }

  it('end at the target when the client has ended, and go on the other way', async () => {
    const { client, heard } = await flow();
    client.end();
    await eventually('the target hears the end', () => heard.ended);
    heard.say('still');
    await client.hears(/still$/);
    heard.socket.end();
    await client.whole();
    expect(heard.errno).to.equal(undefined);
  });

  it('end at the client when the target has ended, and go on the other way', async () => {
    const { client, heard } = await flow();
    heard.socket.end();
    await eventually('the client hears the end', () => client.ended);
    client.send('still');
    await eventually('the target hears it', () => heard.text === 'upstill');
    client.end();
    await eventually('the target hears the end', () => heard.ended);
  });

  it('are reset at the target when the client is reset: an upload that broke off must not look whole', async () => {
    target.forget();
    const tap = await Tap.connect(gateway.port);
    const socket = tls.connect({ ...gateway.settings(), socket: tap });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    socket.write(encodeTransportHeader({ name: WEB, port: 80, protocol: 'opaque' }));
    socket.write('half');
    await eventually('it has begun', () => target.connections.at(-1)?.text === 'half');
    tap.reset();
    await eventually('the target hears of it', () => target.connections.at(-1)?.errno === 'ECONNRESET');
    expect(target.connections.at(-1)?.ended).to.equal(false);
  });

  it('are not closed properly at the client when the target is reset', async () => {
    const { client, heard } = await flow();
    heard.socket.resetAndDestroy();
    await client.whole();
    expect(client.text).to.equal('down');
  });

  it('are reset at the target when it sends and nobody is there to read it', async () => {
    // The client has gone properly, both ways. A target that streams would otherwise send to nowhere for as
    // long as it likes; one that was made to wait would wait for ever.
    const { client, heard } = await flow();
    client.socket.pause();
    const timer = setInterval(() => heard.socket.write(Buffer.alloc(65_536)), 1);
    await eventually('the target is made to wait', () => heard.socket.writableLength > 1_000_000);
    clearInterval(timer);
    client.socket.destroy();
    await eventually('the target hears of it', () => heard.closed);
    expect(heard.errno).to.match(/ECONNRESET|EPIPE/);
  });

  it('are reset when the client may not have them any more', async () => {
    const { client, heard } = await flow();
    gateway.serve([]);
    await client.whole();
    await eventually('the target hears of it', () => heard.errno === 'ECONNRESET');
    gateway.serve([service(WEB, [target.port])]);
  });

  it('are probed when nothing is said: a peer that vanished is found out', async () => {
    // Without probes a client machine that lost its power holds its connection, and one to the target, for
    // ever.
    const { client } = await flow();
    expect(await keepAliveTimers(gateway.port), 'from the client').to.be.greaterThan(0);
    expect(await keepAliveTimers(target.port, 'remote'), 'to the target').to.be.greaterThan(0);
    client.socket.destroy();
  });
});

/**
 * Connections at (or to) a local port on which the kernel has a keep-alive timer (`/proc/net/tcp`: tr = 2).
 */
async function keepAliveTimers(port: number, side: 'local' | 'remote' = 'local'): Promise<number> {
  const { readFile } = await import('node:fs/promises');
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const lines = (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1);
  return lines.filter((line) => {
    const [, local = '', remote = '', state = '', , timer = ''] = line.trim().split(/\s+/);
    const address = side === 'local' ? local : remote;
    return state === '01' && address.endsWith(`:${hex}`) && timer.startsWith('02');
  }).length;
}

/** The other side has ended it, properly or not. */
function isOver(connection: Heard | undefined): boolean {
  return connection?.ended === true || connection?.closed === true;
}

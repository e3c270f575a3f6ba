import { expect } from 'chai';
import type { Http2Connection } from '../../../../src/proxy/http2/http2-connection.ts';
import { eventually } from '../../../support/eventually.ts';
import { GatewayPoolBed } from '../../../support/gateway-pool-bed.ts';
import type { Ear } from '../../../support/scripted-gateway.ts';

const MINUTE = 60_000;

describe('The trunks to a gateway', () => {
  let bed: GatewayPoolBed;

  beforeEach(async () => {
    bed = await GatewayPoolBed.create();
  });
  afterEach(() => bed.close());

  it('are more when many flows are in hand, up to a few, and fewer again', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway);
    const flows: Ear[] = [];
    for (let count = 0; count < 240; count++) {
      flows.push(await bed.opened(pool));
      await eventually(
        'a further one comes in time',
        () => pool.connections.pooled >= Math.min(4, Math.ceil(flows.length / 64)),
      );
    }
    expect(pool.connections.pooled).to.equal(4);
    for (const flow of flows) flow.connection.end();
    await eventually('all are over', () => flows.every(({ closed }) => closed));
    await bed.clock.advance(2 * MINUTE);
    await eventually('one is left', () => pool.connections.open === 1);
    await bed.opened(pool);
    expect(gateway.sockets.length).to.equal(4);
  });

  // A connection that is never silent is never asked whether it is there, so nothing was known of its way.
  it('are asked for the time of a round trip each ten seconds, busy or not', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway);
    const flow = await bed.opened(pool);
    expect([pool.roundTrip, pool.streams]).to.deep.equal([undefined, 1]);
    await bed.clock.advance(1000);
    const first = await eventually('one is measured', () => pool.roundTrip);
    for (let second = 0; second < 9; second++) {
      await bed.clock.advance(1000);
      await flow.say('y').hears(`x${'y'.repeat(second + 1)}`);
    }
    expect(pool.roundTrip).to.equal(first);
    await bed.clock.advance(1000);
    await eventually('another is measured', () => pool.roundTrip !== first);
    flow.connection.end();
    await eventually('it is over', () => pool.streams === 0);
  });

  it('to a gateway that takes no streams are not gathered: each try would leave one behind', async () => {
    const gateway = await bed.ours();
    gateway.maxStreams = 0;
    const pool = bed.poolTo(gateway);
    for (let count = 0; count < 20; count++) {
      await pool.prepare();
      await eventually('its SETTINGS have come', () => pool.connections.pooled === 0);
    }
    await eventually('all are closed', () => pool.connections.open === 0);
  });

  it('are replaced when they are old: flows stay where they are, new ones go to the new', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway);
    const old = await bed.opened(pool);
    await bed.clock.advance(10 * MINUTE + 1);
    await eventually('there are two', () => pool.connections.open === 2);
    await eventually('one takes flows', () => pool.connections.pooled === 1);
    await bed.opened(pool);
    expect(gateway.connections.map(({ active }) => active)).to.deep.equal([1, 1]);
    await old.say('y').hears('xy');
    old.connection.end();
    await eventually('the old one ends with its last flow', () => pool.connections.open === 1);
  });

  it('stay when they are old and the gateway cannot be reached', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway);
    const old = await bed.opened(pool);
    gateway.server.close();
    await bed.clock.advance(10 * MINUTE + 1);
    await bed.opened(pool);
    await old.say('y').hears('xy');
    expect(pool.connections).to.deep.equal({ pooled: 1, open: 1 });
  });

  // A gateway of another cluster had as many handshakes from each egress pod as both could bear, for ever,
  // and nobody had asked it for anything.
  it('are opened again now and then where a gateway ends each as soon as it stands', async () => {
    for (const end of [
      (connection: Http2Connection) => connection.goAway(),
      (connection: Http2Connection) => connection.destroy(),
    ]) {
      const gateway = await bed.ours();
      gateway.onConnection = end;
      const [pool, beside] = [bed.poolTo(gateway), await bed.ours()];
      pool.keepOpen();
      await eventually('it has come', () => gateway.sockets.length > 0);
      // As long as twenty other handshakes take.
      for (let nth = 0; nth < 20; nth++) await bed.opened(bed.poolTo(beside));
      expect(gateway.sockets.length).to.be.at.most(2);
      gateway.onConnection = () => undefined;
      await bed.clock.advance(2500);
      await eventually('it stands', () => pool.connections.pooled === 1);
    }
  });

  // It was dropped, and nobody tried again until a request came, which then had to wait.
  it('are opened again now and then where a gateway takes no streams for a while', async () => {
    const gateway = await bed.ours();
    gateway.maxStreams = 0;
    const [pool, beside] = [bed.poolTo(gateway), await bed.ours()];
    pool.keepOpen();
    await eventually('it has come', () => gateway.sockets.length > 0);
    for (let nth = 0; nth < 20; nth++) await bed.opened(bed.poolTo(beside));
    await eventually('it is dropped', () => pool.connections.open === 0);
    expect(gateway.sockets.length).to.be.at.most(2);
    await bed.clock.advance(2500);
    await eventually('it is tried again', () => gateway.sockets.length > 2);
    await eventually('it is dropped again', () => pool.connections.open === 0);
    gateway.maxStreams = 250;
    await bed.clock.advance(2500);
    await eventually('it stands', () => pool.connections.pooled === 1);
    await bed.clock.advance(MINUTE);
    expect(pool.connections).to.deep.equal({ pooled: 1, open: 1 });
  });

  it('show a new certificate as soon as there is one, and lose nothing', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway);
    const old = await bed.opened(pool);
    bed.identity = await bed.issue('egress2.east');
    bed.renewed();
    await eventually('the gateway has seen it', () => gateway.clients.at(-1) === 'DNS:egress2.east');
    await eventually('it has taken over', () => pool.connections.pooled === 1 && pool.connections.open === 2);
    await bed.opened(pool);
    expect(gateway.connections.map(({ active }) => active)).to.deep.equal([1, 1]);
    await old.say('y').hears('xy');
    bed.renewed();
    expect(gateway.sockets.length, 'the same certificate is no new one').to.equal(2);
  });

  it('that were being opened when there was a new certificate are replaced, too', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway);
    const renewed = await bed.issue('egress2.east');
    // Its handshake shows the certificate that there is when it begins.
    const opening = pool.prepare();
    bed.identity = renewed;
    bed.renewed();
    await opening;
    await eventually('the gateway has seen the new one', () => gateway.clients.at(-1) === 'DNS:egress2.east');
    await eventually('it has taken over', () => pool.connections.pooled === 1 && pool.connections.open === 1);
    await bed.opened(pool);
    expect(gateway.connections.map(({ active }) => active)).to.deep.equal([0, 1]);
  });

  it('that go away (GOAWAY) keep their flows; what they have not looked at is sent again elsewhere', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway);
    const old = await bed.opened(pool);
    // The flow's head and first bytes cross the gateway's last word.
    gateway.connections[0]?.goAway();
    const crossing = (await bed.open(pool)).say('early ').say('bytes');
    await crossing.hears('early bytes');
    await old.say('y').hears('xy');
    await eventually('there is another', () => pool.connections.pooled === 1);
  });

  // Whatever had made one more fail was over; and yet for up to ten seconds there was none, and requests had
  // to wait for a handshake.
  it('that go away are replaced though one more could not be opened shortly before', async () => {
    const former = await bed.ours();
    const pool = bed.poolTo(former);
    pool.keepOpen();
    await eventually('it stands', () => pool.connections.pooled === 1);
    former.server.close();
    for (let count = 0; count < 34; count++) await bed.opened(pool);
    await eventually('one more could not be opened', () => pool.report.state === 'suspect');
    const next = await bed.ours(former.port);
    await bed.clock.advance(2500);
    await eventually('there are two', () => pool.connections.pooled === 2 && next.connections.length === 1);
    for (const gateway of [former, next]) gateway.connections[0]?.goAway();
    await eventually('there is another', () => next.sockets.length === 2 && pool.connections.pooled === 1);
  });

  it('are thrown away when their gateway is silent, and their flows told', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway, true, 2000);
    const ear = await bed.opened(pool);
    // Its machine is gone: the socket is there, nobody answers.
    for (const socket of gateway.sockets) socket.pause();
    await bed.clock.advance(8000);
    await eventually('the flow is told', () => ear.closed);
    expect(ear.error).to.be.instanceOf(Error);
    expect(pool.connections.open).to.equal(0);
    for (const socket of gateway.sockets) socket.destroy();
    await bed.opened(pool);
  });

  it('end with their flows when no route needs them any more', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway);
    const ear = await bed.opened(pool);
    pool.close();
    await ear.say('y').hears('xy');
    expect(pool.connections).to.deep.equal({ pooled: 0, open: 1 });
    ear.connection.end();
    await eventually('it is closed', () => pool.connections.open === 0);
    expect(bed.counters.streams.connections).to.equal(0);
  });
});

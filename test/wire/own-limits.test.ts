import { expect } from 'chai';
import { PickedEndpoint } from '../../src/proxy/upstream/balancer/endpoint.ts';
import { RawHttp2, raw } from '../support/raw-http2.ts';
import { rawHttp2Target, type RawTarget } from '../support/raw-http2-target.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';

const WEB = 'web.demo.svc.cluster.local';
/** More than `IDLE_FRAME_LIMIT` lets a peer send at once. */
const FLOOD = 5000;

/**
 * A Go server that credited each small read was cut off by a limit of ours, and then shut for failing, so
 * that what was left of its requests failed as well: a limit is our decision, and says nothing of who is at
 * the other end.
 */
describe('An endpoint whose connection a limit of ours has ended', () => {
  let target: RawTarget;
  let gateway: WireGateway;
  // oxlint-disable-next-line typescript/unbound-method -- called with its own `this`, and put back
  const { fail } = PickedEndpoint.prototype;
  let blamed = 0;

  before(async () => {
    target = await rawHttp2Target(({ path, head, streamId }) => {
      if (path === '/flood') return Array.from({ length: FLOOD }, () => raw.ping());
      if (path === '/half')
        return [
          head(false, [':status', '200']),
          raw.data(streamId, 'half'),
          ...Array.from({ length: FLOOD }, () => raw.ping()),
        ];
      if (path === '/reset') return [raw.reset(streamId, 2)];
      return [head(true, [':status', '200'])];
    });
    gateway = await WireGateway.start([{ ...service(WEB, [target.port]), protocol: 'http2' }]);
  });
  beforeEach(() => {
    blamed = 0;
    PickedEndpoint.prototype.fail = function () {
      blamed++;
      fail.call(this);
    };
  });
  afterEach(() => {
    PickedEndpoint.prototype.fail = fail;
  });
  after(async () => {
    await gateway.close();
    target.close();
  });

  async function ask(path: string): Promise<string> {
    const client = new RawHttp2((await gateway.open(WEB, 'http2')).socket);
    const fields = RawHttp2.get().map(([name, value]) => [name, name === ':path' ? path : value] as const);
    client.send(client.head(1, true, fields));
    const heard = await client.hears(/^(HEADERS 1 (?!200$)|RST 1 )/);
    client.socket.destroy();
    return heard;
  }

  it('is not blamed, before its answer and in the middle of it, and gets the next request', async () => {
    // As many as would shut it.
    for (let count = 0; count < 8; count++) expect(await ask('/flood')).to.match(/^HEADERS 1 502/);
    for (let count = 0; count < 8; count++) expect(await ask('/half')).to.match(/^RST 1 /);
    expect(blamed).to.equal(0);
    expect(await ask('/')).to.equal('HEADERS 1 200 end');
  });

  it('is blamed for what it does itself', async () => {
    expect(await ask('/reset')).to.match(/^HEADERS 1 502/);
    expect(blamed).to.equal(1);
  });
});

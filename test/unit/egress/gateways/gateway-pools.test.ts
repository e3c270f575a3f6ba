import { expect } from 'chai';
import { EGRESS_TRUNKS_PAGE, MAX_TRUNK_TEXT, MAX_TRUNKS } from '../../../../src/api/answers/trunk-report.ts';
import { GatewayPools } from '../../../../src/egress/gateways/gateway-pools.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { fixedIdentity } from '../../../support/fixed-identity.ts';
import { keptAuthority } from '../../../support/kept-authority.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

// One address with a long name, or some thousand, and nobody read the page: no pod's word counted any more
// about any cluster.
describe('the page of what an egress pod knows of gateways', () => {
  it('can be read, whatever gateways are called', async () => {
    const clock = new VirtualClock();
    const pools = new GatewayPools({
      identity: fixedIdentity(await keptAuthority.leaf('egress.east')),
      counters: new ProxyCounters({ clock }),
      clock,
      random: () => 0.5,
      log: captureLog().log,
    });
    pools.acquire({ host: '10.0.0.1', port: 4143, identity: 'a'.repeat(MAX_TRUNK_TEXT + 1) }, 'west');
    for (let port = 1; port <= 5000; port++)
      pools.acquire({ host: '10.0.0.2', port, identity: 'b'.repeat(MAX_TRUNK_TEXT) }, 'west');
    const text = JSON.stringify(pools.reports());
    expect(text.length).to.be.below(1024 * 1024);
    const { rows, skipped } = EGRESS_TRUNKS_PAGE.read(JSON.parse(text));
    expect([rows.length, skipped]).to.deep.equal([MAX_TRUNKS, 0]);
    // Metrics have no more series than the page has rows.
    expect(pools.numbers()).to.have.length(MAX_TRUNKS);
    pools.destroy();
  });
});

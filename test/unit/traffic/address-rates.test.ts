import { expect } from 'chai';
import { addressRates } from '../../../src/traffic/address-rates.ts';
import { gatewayOf, processOf, readingOf } from '../../support/traffic-readings.ts';

describe('what egress pods send to gateway addresses', () => {
  it('is added up over pods, by cluster and host', () => {
    const v6 = { address: '[2001:db8::1]:4143', requests: 0, rttMs: undefined };
    const first = processOf({ process: 'egress', gateways: [gatewayOf({ failures: 10 }), gatewayOf(v6)] });
    const second = processOf({
      process: 'egress',
      gateways: [gatewayOf({ rttMs: { mean: 40, least: 40 } })],
    });
    const rates = addressRates(readingOf({ processes: [first, second] }));
    expect([...rates]).to.deep.equal([
      ['west/10.0.0.1', { rps: 20, success: 0.95, rttMs: 30 }],
      ['west/2001:db8::1', { rps: 0, success: undefined, rttMs: undefined }],
    ]);
  });
});

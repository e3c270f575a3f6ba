import { expect } from 'chai';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  GATEWAY_ANNOTATIONS,
  GATEWAY_PORTS,
  gatewayAnnotation,
  gatewayPort,
  probePeriod,
} from '../../../../src/api/gateway/gateway-service.ts';
import { parseDuration } from '../../../../src/base/duration.ts';

const CHART = path.resolve(import.meta.dirname, '../../../../charts/linkspan/templates/gateway.yaml');

describe("what a gateway's Service says", () => {
  // The chart writes it and `link` reads it: a name that one of them has alone links to nothing.
  it('is read under the names by which the chart writes it', () => {
    const template = readFileSync(CHART, 'utf8');
    for (const key of Object.values(GATEWAY_ANNOTATIONS)) expect(template).to.include(`${key}: `);
    for (const name of Object.values(GATEWAY_PORTS)) expect(template).to.include(`name: ${name}`);
  });

  it('is read as it was written', () =>
    fc.assert(
      fc.property(
        fc.string({ minLength: 1, maxLength: 4096 }),
        fc.integer({ min: 1, max: 65_535 }),
        (said, port) => {
          for (const what of ['identity', 'probePath', 'probePeriod'] as const) {
            const service = { metadata: { annotations: { [GATEWAY_ANNOTATIONS[what]]: said } } };
            expect(gatewayAnnotation(service, what)).to.equal(said);
          }
          const ports = [
            { name: 'mc-gateway', port },
            { name: 'mc-probe', port: 4191 },
          ];
          expect(gatewayPort({ spec: { ports } }, 'traffic')?.port).to.equal(port);
          expect(gatewayPort({ spec: { ports } }, 'probe')?.port).to.equal(4191);
        },
      ),
    ));

  it('is nothing where it says nothing', () => {
    expect(gatewayAnnotation({}, 'identity')).to.equal(undefined);
    const annotations = { [GATEWAY_ANNOTATIONS.identity]: '' };
    expect(gatewayAnnotation({ metadata: { annotations } }, 'identity')).to.equal(undefined);
    expect(gatewayPort({}, 'probe')).to.equal(undefined);
  });

  it("has periods that Linkerd's controller takes, of the same length", () => {
    expect(probePeriod('3')).to.equal('3s');
    expect(probePeriod('1d')).to.equal('24h');
    expect(probePeriod('0')).to.equal(undefined);
    expect(probePeriod('often')).to.equal(undefined);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.constantFrom('ms', 's', 'm', 'h', 'd', ''),
        (n, unit) => {
          const read = probePeriod(`${n}${unit}`) ?? '';
          expect(parseDuration(read)).to.equal(parseDuration(`${n}${unit}`));
          expect(read).to.match(/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/);
        },
      ),
    );
  });
});

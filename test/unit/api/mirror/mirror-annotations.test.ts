import { expect } from 'chai';
import fc from 'fast-check';
import {
  egressPortsOf,
  endpointAnnotations,
  fqNameOf,
  isRelayed,
  linkOf,
  notReadyOf,
  notReadyPatch,
  originAnnotations,
  ownGatewayOf,
  pathAnnotations,
  remoteVersionOf,
  versionAnnotation,
} from '../../../../src/api/mirror/mirror-annotations.ts';

const text = fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,40}$/);
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const port = fc.integer({ min: 1, max: 65_535 });
const ports = fc.dictionary(port.map(String), port);
const gateway = fc.record({
  addresses: fc.array(text, { minLength: 1, maxLength: 16 }),
  port,
  identity: text,
});
const object = (annotations: Record<string, string>) => ({ metadata: { annotations } });

describe('annotations of mirrors', () => {
  // The gateway of a mirror was written as JSON in one wing, and only ever looked at for being there.
  it('read as they were written: where a mirror comes from', () =>
    fc.assert(
      fc.property(text, text, text, (fqName, link, resourceVersion) => {
        const mirror = object(
          originAnnotations({ metadata: { resourceVersion, uid: 'u' } }, { fqName, link }),
        );
        expect(fqNameOf(mirror)).to.equal(fqName);
        expect(linkOf(mirror)).to.equal(link);
        expect(remoteVersionOf(mirror.metadata.annotations)).to.equal(resourceVersion);
        expect(remoteVersionOf(versionAnnotation(resourceVersion))).to.equal(resourceVersion);
        expect(mirror.metadata.annotations['linkspan.dev/remote-uid']).to.equal('u');
      }),
    ));

  it('read as they were written: which way leads to it', () =>
    fc.assert(
      fc.property(
        fc.constantFrom('gateway', 'relay'),
        optional(ports),
        optional(gateway),
        (dataPath, egressPorts, own) => {
          const mirror = object(pathAnnotations({ dataPath, egressPorts, gateway: own }));
          expect(isRelayed(mirror)).to.equal(dataPath === 'relay');
          expect(egressPortsOf(mirror)).to.deep.equal(egressPorts ?? {});
          expect(ownGatewayOf(mirror)).to.deep.equal(own);
        },
      ),
    ));

  it('read as they were written: why endpoints are not ready', () =>
    fc.assert(
      fc.property(optional(text), optional(text), (fqName, notReady) => {
        const slice = object(endpointAnnotations({ fqName, gatewayIdentity: undefined, notReady }));
        expect(fqNameOf(slice)).to.equal(fqName);
        expect(notReadyOf(slice)).to.equal(notReady);
        const [value] = Object.values(notReadyPatch(notReady));
        expect(value ?? undefined).to.equal(notReady);
      }),
    ));

  it('call a gateway that cannot be read another one than the Link’s', () => {
    for (const said of ['', 'no JSON', '{}', '{"addresses":[],"port":4143,"identity":"gateway"}'])
      expect(ownGatewayOf(object({ 'linkspan.dev/gateway': said })), said).to.equal(null);
    expect(ownGatewayOf(object({}))).to.equal(undefined);
  });
});

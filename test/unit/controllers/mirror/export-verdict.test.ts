import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { exportVerdict, type ExportMode } from '../../../../src/controllers/mirror/export-verdict.ts';

const service = (spec: V1Service['spec'], name = 'web', labels: Record<string, string> = {}): V1Service => ({
  metadata: { name, namespace: 'shop', labels },
  spec: { selector: { app: 'web' }, ports: [{ port: 80 }], ...spec },
});

describe('exporting a Service', () => {
  const refused: readonly [string, V1Service, ExportMode, RegExp][] = [
    ['an alias', service({ type: 'ExternalName' }), 'gateway', /ExternalName/],
    ['only UDP', service({ ports: [{ port: 53, protocol: 'UDP' }] }), 'flat', /no TCP port/],
    ['no ports', service({ ports: [] }), 'gateway', /no TCP port/],
    [
      'a mirror',
      service({}, 'web-west', { 'mirror.linkerd.io/mirrored-service': 'true' }),
      'gateway',
      /itself a mirror/,
    ],
    ['a headless member', service({ clusterIP: 'None' }), 'federated', /Headless service cannot join/],
    ['a member whose name is too long', service({}, 'x'.repeat(54)), 'federated', /64 characters/],
  ];
  for (const [what, object, mode, why] of refused)
    it(`is refused for ${what}`, () => expect(exportVerdict(object, mode).refusal).to.match(why));

  const warned: readonly [string, V1Service, ExportMode, readonly RegExp[]][] = [
    ['an ordinary one', service({}), 'gateway', []],
    ['an ordinary member', service({}), 'federated', []],
    [
      'UDP beside TCP',
      service({ ports: [{ port: 80 }, { port: 53, protocol: 'UDP' }] }),
      'gateway',
      [/53\/UDP/],
    ],
    ['a long name', service({}, 'x'.repeat(55)), 'gateway', [/more than 7 characters/]],
    ['a headless one', service({ clusterIP: 'None' }), 'gateway', [/--headless/]],
    ['a flat one without pods', service({ selector: {} }), 'flat', [/no selector/]],
  ];
  for (const [what, object, mode, warnings] of warned)
    it(`warns of ${warnings.length} things for ${what}`, () => {
      const verdict = exportVerdict(object, mode);
      expect(verdict.refusal).to.equal(undefined);
      expect(verdict.warnings).to.have.length(warnings.length);
      for (const [index, warning] of warnings.entries()) expect(verdict.warnings[index]).to.match(warning);
    });
});

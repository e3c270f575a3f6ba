import { expect } from 'chai';
import { violations } from '../../../scripts/check-imports.ts';

describe('import rule', () => {
  it('lets imports point down', () => {
    expect(
      violations('gateway/a.ts', `import { x } from '../proxy/x.ts';\nimport '../base/y.ts';`),
    ).to.deep.equal([]);
  });

  it('refuses imports that point up or sideways', () => {
    expect(violations('base/a.ts', `import { x } from '../kube/x.ts';`)).to.have.length(1);
    expect(violations('gateway/a.ts', `export { x } from '../egress/x.ts';`)).to.have.length(1);
    expect(violations('proxy/a.ts', `const x = await import('../discovery/x.ts');`)).to.have.length(1);
  });

  it('keeps Kubernetes out of proxy and sockets out of mirror', () => {
    expect(violations('proxy/a.ts', `import { V1Pod } from '@kubernetes/client-node';`)).to.have.length(1);
    expect(violations('mirror/a.ts', `import net from 'node:net';`)).to.have.length(1);
  });

  it('sees imports over several lines', () => {
    expect(violations('base/a.ts', `import {\n  x,\n  y,\n} from '../cli/x.ts';`)).to.have.length(1);
  });
});

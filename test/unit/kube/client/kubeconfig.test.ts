import { expect } from 'chai';
import fc from 'fast-check';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { loadAccess } from '../../../../src/kube/client/access.ts';
import { contextNames } from '../../../../src/kube/client/kubeconfig.ts';
import { useTempDir } from '../../../support/temp-dir.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

interface Parts {
  readonly clusters?: Readonly<Record<string, object>>;
  readonly users?: Readonly<Record<string, object>>;
  readonly contexts?: Readonly<Record<string, object>>;
  readonly current?: string;
}

function text({ clusters = {}, users = {}, contexts = {}, current }: Parts): string {
  const list = (key: string, of: Readonly<Record<string, object>>) =>
    Object.entries(of).map(([name, value]) => ({ name, [key]: value }));
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: list('cluster', clusters),
    users: list('user', users),
    contexts: list('context', contexts),
    ...(current === undefined ? {} : { 'current-context': current }),
  });
}

/** People keep one file for each cluster and list them all: whatever kubectl finds so must be found here. */
describe('several files in $KUBECONFIG', () => {
  const dir = useTempDir();
  const before = process.env['KUBECONFIG'];
  afterEach(() => {
    if (before === undefined) delete process.env['KUBECONFIG'];
    else process.env['KUBECONFIG'] = before;
  });

  /** Writes files into folders of their own and lists them. */
  function list(...files: (string | undefined)[]): void {
    const paths = files.map((content, index) => {
      const folder = path.join(dir(), String(index));
      mkdirSync(folder, { recursive: true });
      const file = path.join(folder, 'config');
      if (content !== undefined) writeFileSync(file, content);
      return file;
    });
    process.env['KUBECONFIG'] = paths.join(path.delimiter);
  }

  it('are one: the first to say something is believed, and a context finds its cluster in another file', async () => {
    list(
      text({
        clusters: { east: { server: 'https://east:6443' } },
        contexts: { east: { cluster: 'east', user: 'ann' } },
      }),
      text({
        clusters: { east: { server: 'https://other:6443' }, west: { server: 'https://west:6443' } },
        users: { ann: { token: 'of-ann' } },
        contexts: { west: { cluster: 'west', user: 'ann' } },
        current: 'west',
      }),
      text({ current: 'east' }),
    );
    expect(loadAccess({ default: true }).server).to.equal('https://west:6443');
    const east = loadAccess({ default: true, context: 'east' });
    expect(east.server).to.equal('https://east:6443');
    expect(await east.auth.authorization()).to.equal('Bearer of-ann');
    expect(contextNames()).to.deep.equal(['east', 'west']);
  });

  it('name files by paths from their own folders', () => {
    const cluster = { server: 'https://west:6443', 'certificate-authority': 'ca.crt' };
    list(
      text({}),
      text({ clusters: { west: cluster }, contexts: { west: { cluster: 'west' } }, current: 'west' }),
    );
    writeFileSync(path.join(dir(), '1/ca.crt'), PEM);
    expect(loadAccess({ default: true }).ca).to.equal(PEM);
  });

  it('may be missing or empty, but not all of them', () => {
    const whole = text({
      clusters: { west: { server: 'https://west:6443' } },
      contexts: { west: { cluster: 'west' } },
      current: 'west',
    });
    list(undefined, '', whole, '\n');
    expect(loadAccess({ default: true }).server).to.equal('https://west:6443');
    process.env['KUBECONFIG'] = ['/nowhere/a', '/nowhere/b'].join(path.delimiter);
    expect(() => loadAccess({ default: true }))
      .to.throw('cannot read /nowhere/a:/nowhere/b: none of these files is there')
      .with.property('code', 'KUBECONFIG_UNREADABLE');
  });

  it('that do not parse are named, each by itself', () => {
    list(text({}), 'clusters: [');
    expect(() => loadAccess({ default: true })).to.throw(path.join(dir(), '1/config'));
  });

  it('give the same for every way in which entries may be spread over them', () => {
    const names = fc.constantFrom('a', 'b', 'c');
    const file = fc.record({
      clusters: fc.uniqueArray(names),
      current: fc.option(names, { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(file, { minLength: 2, maxLength: 4 }), (files) => {
        const server = (name: string, index: number) => `https://${name}-${index}:6443`;
        list(
          ...files.map(({ clusters, current }, index) =>
            text({
              clusters: Object.fromEntries(clusters.map((name) => [name, { server: server(name, index) }])),
              contexts: Object.fromEntries(clusters.map((name) => [name, { cluster: name }])),
              ...(current === undefined ? {} : { current }),
            }),
          ),
        );
        const context = files.find(({ current }) => current !== undefined)?.current;
        const owner = files.findIndex(({ clusters }) => context !== undefined && clusters.includes(context));
        if (context === undefined || owner < 0)
          expect(() => loadAccess({ default: true }))
            .to.throw()
            .with.property('code', 'KUBECONFIG_INVALID');
        else expect(loadAccess({ default: true }).server).to.equal(server(context, owner));
      }),
      { numRuns: 100 },
    );
  });
});

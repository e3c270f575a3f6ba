import { expect } from 'chai';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { useTempDir } from '../../support/temp-dir.ts';
import { binaries, cacheDirectory, type Progress } from '../../testbed/binaries.ts';
import { TestbedError } from '../../testbed/errors.ts';

const quiet: Progress = { write: () => true };

describe('testbed binaries', () => {
  const temp = useTempDir();
  let directory: string;
  let env: NodeJS.ProcessEnv;

  beforeEach(() => {
    directory = temp();
    env = { PATH: '/usr/bin:/bin', LINKSPAN_TESTBED_CACHE: path.join(directory, 'cache') };
    env['LINKSPAN_TESTBED_GO'] = path.join(directory, 'go');
  });

  /** A Go that counts its runs and "builds" by writing its -o file (argument 5). */
  function fakeGo(): () => number {
    const runs = path.join(directory, 'runs');
    script(path.join(directory, 'go'), `echo run >> ${runs}; sleep 0.2; echo built > "$5"; chmod +x "$5"`);
    return () => (existsSync(runs) ? readFileSync(runs, 'utf8').trim().split('\n').length : 0);
  }

  it('takes what KUBEBUILDER_ASSETS has, and builds only what it lacks', async () => {
    const runs = fakeGo();
    script(path.join(directory, 'etcd'), 'true');
    env['KUBEBUILDER_ASSETS'] = directory;
    const found = await binaries(['etcd', 'kube-controller-manager'], { env, progress: quiet });
    expect(found.etcd).to.equal(path.join(directory, 'etcd'));
    expect(found['kube-controller-manager']).to.equal(path.join(directory, 'cache/kube-controller-manager'));
    expect(runs()).to.equal(1);
  });

  it('builds once and then takes the cached file', async () => {
    const runs = fakeGo();
    await binaries(['etcd'], { env, progress: quiet });
    await binaries(['etcd'], { env, progress: quiet });
    expect(runs()).to.equal(1);
  });

  it('does not build twice when two ask at the same time', async () => {
    const runs = fakeGo();
    const both = [1, 2].map(() => binaries(['etcd'], { env, progress: quiet }));
    await Promise.all(both);
    expect(runs()).to.equal(1);
  });

  it('takes over the lock of a builder that was killed', async () => {
    const runs = fakeGo();
    await binaries(['etcd'], { env, progress: quiet });
    writeFileSync(path.join(directory, 'cache/kubectl.lock'), '999999999 1');
    await binaries(['kubectl'], { env, progress: quiet });
    expect(runs()).to.equal(2);
    expect(existsSync(path.join(directory, 'cache/kubectl.lock'))).to.equal(false);
  });

  it('shows what Go said when a build fails, and leaves no half binary', async () => {
    script(path.join(directory, 'go'), 'echo "proxy.golang.org: no such host" >&2; exit 1');
    const error = await binaries(['etcd'], { env, progress: quiet }).catch((e: unknown) => e);
    expect(error).to.be.instanceOf(TestbedError).with.property('code', 'TESTBED_BUILD_FAILED');
    expect((error as Error).message).to.include('proxy.golang.org: no such host');
    expect(existsSync(path.join(directory, 'cache/etcd'))).to.equal(false);
  });

  it('writes a line when a build starts and one when it is done, off a terminal', async () => {
    fakeGo();
    const lines: string[] = [];
    await binaries(['etcd'], { env, progress: { write: (text) => lines.push(text) } });
    expect(lines).to.have.length(2);
    expect(lines[0]).to.equal('testbed: building etcd with Go, once\n');
    expect(lines[1]).to.match(/^testbed: building etcd with Go, once: done in \d+ s\n$/);
  });

  it('names what to install when there is no Go', async () => {
    const error = await binaries(['etcd'], { env, progress: quiet }).catch((e: unknown) => e);
    expect(error).to.be.instanceOf(TestbedError).with.property('code', 'TESTBED_NO_BINARIES');
    expect((error as Error).message).to.include('Install Go 1.24 or newer');
  });

  it('keeps the cache below XDG_CACHE_HOME, under a stamp of what is built', () => {
    const home = cacheDirectory({ XDG_CACHE_HOME: '/x', HOME: '/home/me' });
    expect(home).to.match(/^\/x\/linkspan\/testbed\/[0-9a-f]{16}$/);
    expect(cacheDirectory({ HOME: '/home/me' })).to.match(/^\/home\/me\/\.cache\/linkspan\/testbed\//);
  });
});

function script(file: string, body: string): void {
  writeFileSync(file, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
}

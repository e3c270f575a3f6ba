import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { buffer, text } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { eventually } from '../../../support/eventually.ts';
import { type Answer, type FileServer, serveFiles } from '../../../support/file-server.ts';
import { useTempDir } from '../../../support/temp-dir.ts';
import { binaries } from '../../../testbed/binaries.ts';
import type { Downloads } from '../../../testbed/binaries/archives.ts';
import { cacheDirectory, downloadDirectory } from '../../../testbed/binaries/places.ts';
import { prepare, prepareOptional, type PrepareOptions } from '../../../testbed/binaries/prepare.ts';
import { LINKERD, NEEDS, NGHTTP2 } from '../../../testbed/binaries/programs.ts';
import type { Progress } from '../../../testbed/binaries/progress.ts';
import { TestbedError } from '../../../testbed/errors.ts';

const CUT_AFTER = 40;
const sha512 = (data: Buffer) => createHash('sha512').update(data).digest('hex');

/**
 * Newcomers have neither binaries nor, perhaps, Go; what they get must be what was published, from wherever
 * it can be had.
 */
describe('preparing the testbed', () => {
  const temp = useTempDir();
  let directory: string;
  let env: NodeJS.ProcessEnv;
  let said: string[];
  let progress: Progress;
  let server: FileServer | undefined;
  let archive: Buffer;

  before(async () => {
    const tar = pack();
    for (const name of ['etcd', 'kube-apiserver', 'kubectl'])
      tar.entry({ name: `controller-tools/envtest/${name}`, mode: 0o755 }, `downloaded ${name}`);
    // What somebody else might have put in must not come out.
    tar.entry({ name: '../../evil', mode: 0o755 }, 'evil');
    tar.entry({ name: 'controller-tools/envtest/helm', type: 'symlink', linkname: '/etc/passwd' });
    tar.finalize();
    archive = gzipSync(await buffer(tar));
  });

  beforeEach(() => {
    directory = temp();
    env = { PATH: '/usr/bin:/bin', LINKSPAN_TESTBED_CACHE: path.join(directory, 'cache') };
    env['LINKSPAN_TESTBED_GO'] = path.join(directory, 'go');
    said = [];
    progress = { write: (text) => said.push(text) };
  });

  afterEach(async () => {
    await server?.close();
    server = undefined;
  });

  /** A Go that counts its builds and "builds" by writing its -o file. */
  function fakeGo(): () => number {
    const runs = path.join(directory, 'runs');
    script(
      path.join(directory, 'go'),
      `[ "$1" = list ] && exec echo pkg; echo run >> ${runs}; while [ "$1" != -o ]; do shift; done; sleep 0.2; echo built > "$2"; chmod +x "$2"`,
    );
    return () => (existsSync(runs) ? readFileSync(runs, 'utf8').trim().split('\n').length : 0);
  }

  const whole: Answer = (_request, response) => {
    response.writeHead(200, { 'content-length': archive.length });
    response.end(archive);
  };

  /** Options that download from a server of ours; `sum` is what is pinned. */
  async function from(
    answers: Readonly<Record<string, Answer>>,
    sum = sha512(archive),
  ): Promise<PrepareOptions> {
    server = await serveFiles(answers);
    return { env, progress, downloads: downloadsAt(server.url, sum), answerMs: 1000, stallMs: 300 };
  }

  const cached = (name: string) =>
    readFileSync(binaries([name as 'etcd'], env)[name as 'etcd'], 'utf8').trim();

  function expectNothingHalf(): void {
    const files = readdirSync(path.join(directory, 'cache'), { recursive: true, encoding: 'utf8' });
    expect(files.filter((file) => /partial|lock|stale|evil/.test(file))).to.deep.equal([]);
    expect(existsSync(path.join(directory, 'evil'))).to.equal(false);
  }

  it('downloads etcd, API server and kubectl in one archive, without Go', async () => {
    const options = await from({ '/a.tar.gz': whole });
    await prepare(NEEDS.demo, options);
    expect(cached('etcd')).to.equal('downloaded etcd');
    expect(cached('kubectl')).to.equal('downloaded kubectl');
    expect(server?.asked).to.deep.equal(['/a.tar.gz']);
    expectNothingHalf();
    expect(said[0]).to.equal('testbed: missing here: etcd, kube-apiserver, kubectl to download\n');
    expect(said[1]).to.include('there is no Go on this machine');
    expect(said.at(-1)).to.equal('testbed: etcd, kube-apiserver, kubectl (downloaded, Kubernetes v1.34.1)\n');
  });

  it('does not ask again for what is in the cache', async () => {
    const options = await from({ '/a.tar.gz': whole });
    await prepare(NEEDS.demo, options);
    await prepare(NEEDS.demo, options);
    expect(server?.asked).to.have.length(1);
  });

  it('takes the controller manager from the release, checked by the sum that is published beside it', async () => {
    const file = Buffer.from('the release');
    const options = await from({
      '/kube-controller-manager': (_request, response) => void response.end(file),
      '/kube-controller-manager.sha512': (_request, response) => void response.end(`${sha512(file)}\n`),
    });
    await prepare(['kube-controller-manager'], options);
    expect(cached('kube-controller-manager')).to.equal('the release');
  });

  it('builds what has a wrong sum, and keeps nothing of it', async () => {
    const runs = fakeGo();
    const options = await from({ '/a.tar.gz': whole }, '0'.repeat(128));
    await prepare(['etcd'], options);
    expect(cached('etcd')).to.equal('built');
    expect(runs()).to.equal(1);
    expect(said.join('')).to.include('TESTBED_WRONG_SUM');
    expectNothingHalf();
  });

  it('builds nothing with --from download: a wrong sum is the end', async () => {
    fakeGo();
    env['LINKSPAN_TESTBED_FROM'] = 'download';
    const options = await from({ '/a.tar.gz': whole }, '0'.repeat(128));
    expect(await codeOf(prepare(['etcd'], options))).to.equal('TESTBED_WRONG_SUM');
    expectNothingHalf();
  });

  it('asks no server with --from build', async () => {
    fakeGo();
    env['LINKSPAN_TESTBED_FROM'] = 'build';
    const options = await from({ '/a.tar.gz': whole });
    await prepare(['etcd'], options);
    expect(cached('etcd')).to.equal('built');
    expect(server?.asked).to.deep.equal([]);
  });

  it('starts a cut download again', async () => {
    const options = await from({
      '/a.tar.gz': (request, response, nth) => {
        if (nth === 3) return whole(request, response, nth);
        response.writeHead(200, { 'content-length': archive.length });
        response.write(archive.subarray(0, CUT_AFTER), () => response.destroy());
      },
    });
    await prepare(NEEDS.demo, options);
    expect(cached('etcd')).to.equal('downloaded etcd');
    expect(server?.asked).to.have.length(3);
    expectNothingHalf();
  });

  it('takes a body that stalls for a cut one, and gives up after three', async () => {
    const runs = fakeGo();
    const options = await from({
      '/a.tar.gz': (_request, response) => {
        response.writeHead(200, { 'content-length': archive.length });
        response.write(archive.subarray(0, CUT_AFTER));
      },
    });
    await prepare(['etcd'], options);
    expect(server?.asked).to.have.length(3);
    expect(runs()).to.equal(1);
    expectNothingHalf();
  });

  it('lets a slow server take its time as long as something comes', async () => {
    const options = await from({
      '/a.tar.gz': (_request, response) => {
        response.writeHead(200, { 'content-length': archive.length });
        let at = 0;
        const piece = Math.ceil(archive.length / 10);
        const timer = setInterval(() => {
          response.write(archive.subarray(at, (at += piece)));
          if (at < archive.length) return;
          clearInterval(timer);
          response.end();
        }, 50);
      },
    });
    await prepare(NEEDS.demo, options);
    expect(server?.asked).to.have.length(1);
  });

  it('builds when nobody answers, and asks no second server then', async () => {
    const runs = fakeGo();
    const silent: Answer = () => {};
    const options = await from({ '/a.tar.gz': silent, '/kube-controller-manager.sha512': silent });
    const start = performance.now();
    await prepare(NEEDS.controlPlane, { ...options, answerMs: 200 });
    expect(runs()).to.equal(4);
    expect(server?.asked).to.deep.equal(['/a.tar.gz']);
    expect(performance.now() - start, 'the ten seconds of a default were waited for').to.be.lessThan(10_000);
    expect(said.join('')).to.include('no answer within 0.2 s');
  });

  it('goes through the proxy of the environment', async () => {
    const options = await from({ '/a.tar.gz': whole });
    const before = { ...process.env };
    // No name of a server resolves here: only the proxy can have been asked.
    process.env['http_proxy'] = server?.url ?? '';
    try {
      await prepare(NEEDS.demo, {
        ...options,
        downloads: downloadsAt('http://envtest.invalid', sha512(archive)),
      });
    } finally {
      for (const name of ['http_proxy']) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
    expect(server?.asked).to.have.length.greaterThan(0);
    expect(cached('etcd')).to.equal('downloaded etcd');
  });

  it('takes a proxy without a scheme for an HTTP one, as curl and Go do', async () => {
    const options = await from({ '/a.tar.gz': whole });
    await withEnv({ http_proxy: new URL(server?.url ?? '').host }, () =>
      prepare(NEEDS.demo, { ...options, downloads: downloadsAt('http://envtest.invalid', sha512(archive)) }),
    );
    expect(server?.asked).to.deep.equal(['/a.tar.gz']);
  });

  it('explains a proxy that is none, and builds', async () => {
    const runs = fakeGo();
    const options = await from({ '/a.tar.gz': whole });
    await withEnv({ https_proxy: 'http://' }, () => prepare(['etcd'], options));
    expect(said.join('')).to.include('[TESTBED_DOWNLOAD_FAILED]').and.include('no proxy');
    expect(runs()).to.equal(1);
  });

  it('reads no more of a published sum than a sum is long', async () => {
    const runs = fakeGo();
    let stopped = false;
    const options = await from({
      '/kube-controller-manager.sha512': (_request, response) => {
        const more = setInterval(() => response.write('<html>'.repeat(1000)), 10);
        response.on('close', () => {
          clearInterval(more);
          stopped = true;
        });
      },
    });
    await prepare(['kube-controller-manager'], options);
    expect(said.join('')).to.include('it holds no SHA-512');
    expect(runs()).to.equal(1);
    expect(stopped).to.equal(true);
  });

  it('says that the cache cannot be written, at once: no server and no Go would help', async () => {
    const runs = fakeGo();
    writeFileSync(path.join(directory, 'cache'), 'a file');
    const options = await from({ '/a.tar.gz': whole });
    expect(await codeOf(prepare(['etcd'], options))).to.equal('TESTBED_CACHE_UNUSABLE');
    expect(await codeOf(prepare(['helm'], options))).to.equal('TESTBED_CACHE_UNUSABLE');
    expect(runs()).to.equal(0);
  });

  it('removes what killed processes left half done, and nothing of those that live', async () => {
    const cache = downloadDirectory('archive', env);
    mkdirSync(cache, { recursive: true });
    for (const pid of [999_999_999, process.ppid]) writeFileSync(path.join(cache, `etcd.${pid}.partial`), '');
    await prepare(NEEDS.demo, await from({ '/a.tar.gz': whole }));
    const partial = readdirSync(cache).filter((file) => file.includes('partial'));
    expect(partial).to.deep.equal([`etcd.${process.ppid}.partial`]);
  });

  it('shares one download among processes', async () => {
    const options = await from({
      '/a.tar.gz': (request, response, nth) => void setTimeout(() => whole(request, response, nth), 300),
    });
    const helper = path.join(import.meta.dirname, '../../../support/prepare-demo.ts');
    const children = [1, 2].map(() =>
      spawn(process.execPath, [helper, server?.url ?? '', sha512(archive)], {
        env,
        stdio: ['ignore', 'ignore', 'inherit'],
      }),
    );
    const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]));
    expect(codes).to.deep.equal([0, 0]);
    await prepare(NEEDS.demo, options);
    expect(server?.asked).to.have.length(1);
  });

  describe('leaves nothing half that a later run believes', () => {
    const NAMES = ['etcd', 'kube-apiserver', 'kubectl'] as const;
    let large: Buffer;
    let contents: Map<string, Buffer>;

    before(async () => {
      const tar = pack();
      contents = new Map(NAMES.map((name) => [name, randomBytes(1_000_000)]));
      for (const [name, content] of contents) tar.entry({ name: `envtest/${name}`, mode: 0o755 }, content);
      tar.finalize();
      large = gzipSync(await buffer(tar), { level: 1 });
    });

    /** Half of the archive first, the rest when told to. */
    function halves(): { readonly answer: Answer; readonly rest: () => void } {
      let rest = (): void => undefined;
      const answer: Answer = (_request, response) => {
        response.writeHead(200, { 'content-length': large.length });
        response.write(large.subarray(0, large.length / 2));
        rest = () => response.end(large.subarray(large.length / 2));
      };
      return { answer, rest: () => rest() };
    }
    const helper = path.join(import.meta.dirname, '../../../support/prepare-demo.ts');
    const run = (command: string, args: readonly string[]) =>
      spawn(command, [...args, helper, server?.url ?? '', sha512(large)], {
        env: { ...env, PATH: process.env['PATH'] },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    const partials = () => {
      const folder = downloadDirectory('archive', env);
      return existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.partial')) : [];
    };

    async function nextRunIsRight(): Promise<void> {
      const known = NAMES.filter((name) => existsSync(path.join(downloadDirectory('archive', env), name)));
      for (const name of known)
        expect(readFileSync(binaries([name], env)[name])).to.deep.equal(contents.get(name));
      const options = await from(
        { '/a.tar.gz': (_request, response) => void response.end(large) },
        sha512(large),
      );
      await prepare(NAMES, options);
      for (const name of NAMES)
        expect(readFileSync(binaries([name], env)[name])).to.deep.equal(contents.get(name));
      expectNothingHalf();
    }

    for (const [when, there, go] of [
      ['while it downloads', /^archive\./, false],
      ['while it unpacks', /^(etcd|kube)/, true],
      ['while it takes down a sum', /sha512/, true],
    ] as const)
      it(`when it is killed ${when}`, async () => {
        const { answer, rest } = halves();
        server = await serveFiles({ '/a.tar.gz': answer });
        const child = run(process.execPath, []);
        const gone = once(child, 'exit');
        await eventually('it has begun', () => partials().some((file) => file.startsWith('archive.')));
        if (go) rest();
        await eventually(
          'it is at it',
          () => partials().some((file) => there.test(file)) || child.exitCode !== null,
          {
            everyMs: 1,
          },
        );
        child.kill('SIGKILL');
        await gone;
        await server.close();
        await nextRunIsRight();
      });

    it('when there is no more room', async () => {
      server = await serveFiles({ '/a.tar.gz': (_request, response) => void response.end(large) });
      // No file may be as large as the archive.
      const child = run('bash', ['-c', `ulimit -f 2000; exec "$0" "$@"`, process.execPath]);
      const [said] = await Promise.all([text(child.stderr), once(child, 'exit')]);
      expect(said).to.include('TESTBED_CACHE_UNUSABLE').and.include('make room there');
      expect(child.exitCode).to.not.equal(0);
      expectNothingHalf();
      await server.close();
      await nextRunIsRight();
    });
  });

  // What lay in the cache was run, whatever had become of it: half of a program after a power cut, or another
  // one.
  for (const [what, change] of [
    ['half of it', (content: Buffer) => content.subarray(0, 4)],
    ['something else of the same length', (content: Buffer) => Buffer.from(content.map((byte) => byte ^ 1))],
  ] as const)
    it(`runs no cached program that is not what was put there: ${what}`, async () => {
      const runs = fakeGo();
      const options = await from({ '/a.tar.gz': whole });
      await prepare(['etcd', 'helm'], options);
      for (const name of ['etcd', 'helm'] as const) {
        const file = binaries([name], env)[name];
        writeFileSync(file, change(readFileSync(file)), { mode: 0o755 });
      }
      await prepare(['etcd', 'helm'], options);
      expect([cached('etcd'), cached('helm'), runs()]).to.deep.equal(['downloaded etcd', 'built', 2]);
      expect(said.join('')).to.match(/etcd is not what was put there: it is thrown away/);
      // Once more costs nothing.
      const before = server?.asked.length;
      await prepare(['etcd', 'helm'], options);
      expect([server?.asked.length, runs()]).to.deep.equal([before, 2]);
    });

  it('takes a program from before there were sums as it is, and knows it from then on', async () => {
    const runs = fakeGo();
    await prepare(['helm'], { env, progress });
    const file = binaries(['helm'], env).helm;
    rmSync(`${file}.sha512`);
    utimesSync(file, 1, 1);
    await prepare(['helm'], { env, progress });
    expect([existsSync(`${file}.sha512`), runs()]).to.deep.equal([true, 1]);
    writeFileSync(file, 'bu', { mode: 0o755 });
    await prepare(['helm'], { env, progress });
    expect([cached('helm'), runs()]).to.deep.equal(['built', 2]);
  });

  it('takes what KUBEBUILDER_ASSETS has, and the rest from elsewhere', async () => {
    const runs = fakeGo();
    script(path.join(directory, 'etcd'), 'true');
    env['KUBEBUILDER_ASSETS'] = directory;
    const options = await from({ '/a.tar.gz': whole });
    await prepare(['etcd', 'kubectl', 'helm'], options);
    expect(binaries(['etcd'], env).etcd).to.equal(path.join(directory, 'etcd'));
    expect(cached('kubectl')).to.equal('downloaded kubectl');
    expect(cached('helm')).to.equal('built');
    expect(runs()).to.equal(1);
  });

  it('builds once, also when two ask at the same time', async () => {
    const runs = fakeGo();
    await Promise.all([1, 2].map(() => prepare(['helm'], { env, progress })));
    await prepare(['helm'], { env, progress });
    expect(runs()).to.equal(1);
  });

  it('takes over the lock of a builder that was killed', async () => {
    const runs = fakeGo();
    await prepare(['helm'], { env, progress });
    writeFileSync(path.join(directory, 'cache/loopback.lock'), '999999999 1');
    await prepare(['loopback'], { env, progress });
    expect(runs()).to.equal(2);
    expectNothingHalf();
  });

  it('shows what Go said when a build fails, and leaves no half binary', async () => {
    script(
      path.join(directory, 'go'),
      '[ "$1" = list ] && exec echo pkg; echo "main.go:1: syntax error" >&2; exit 1',
    );
    const error = await prepare(['helm'], { env, progress }).catch((e: unknown) => e);
    expect(error).to.be.instanceOf(TestbedError).with.property('code', 'TESTBED_BUILD_FAILED');
    expect((error as Error).message).to.include('syntax error');
    expectNothingHalf();
  });

  it('says in its first line that there is no Go for what must be built, before it asks anybody', async () => {
    const options = await from({ '/a.tar.gz': whole });
    const error = await prepare(['etcd', 'helm'], options).catch((e: unknown) => e);
    expect(error).to.be.instanceOf(TestbedError).with.property('code', 'TESTBED_NO_BINARIES');
    expect((error as Error).message)
      .to.include('Install Go 1.24 or newer')
      .and.include('put helm 3.19');
    expect(server?.asked).to.deep.equal([]);
  });

  it('names both when there is neither Go nor a way out', async () => {
    const options = await from({});
    const error = await prepare(['etcd'], options).catch((e: unknown) => e);
    expect(error).to.be.instanceOf(TestbedError).with.property('code', 'TESTBED_NO_BINARIES');
    expect((error as Error).message)
      .to.include('there is no Go')
      .and.include('could not be downloaded either')
      .and.include('404');
  });

  it('leaves out what the module proxy does not hand out, and nothing else', async () => {
    script(path.join(directory, 'go'), 'echo "proxy.golang.org: 403 Forbidden" >&2; exit 1');
    const [leftOut] = await prepareOptional([LINKERD], { env, progress });
    expect(leftOut?.need.files).to.deep.equal(LINKERD.files);
    expect(leftOut?.reason).to.include('403 Forbidden');
    script(path.join(directory, 'go'), '[ "$1" = list ] && exec echo pkg; exit 1');
    expect(await codeOf(prepareOptional([LINKERD], { env, progress }))).to.equal('TESTBED_BUILD_FAILED');
  });

  it('leaves out what only the machine can have, where it does not, and asks nobody for it', async () => {
    const runs = fakeGo();
    const need = { ...NGHTTP2, machine: ['no-such-program' as 'h2load'] };
    const leftOut = await prepareOptional([need], { env, progress });
    expect(leftOut.map(({ reason }) => reason).join()).to.match(
      /^this machine does not have no-such-program/,
    );
    expect(await prepareOptional([{ ...NGHTTP2, machine: [] }], { env, progress })).to.deep.equal([]);
    expect([runs(), said]).to.deep.equal([0, []]);
  });

  it('fetches and builds nothing for a test that asks by itself', () => {
    const runs = fakeGo();
    expect(() => binaries(['etcd', 'helm'], env))
      .to.throw(TestbedError, /npm run testbed:prepare -- etcd helm/)
      .with.property('code', 'TESTBED_NOT_PREPARED');
    expect(runs()).to.equal(0);
  });

  it('keeps the cache below XDG_CACHE_HOME, under a stamp of what is built', () => {
    const home = cacheDirectory({ XDG_CACHE_HOME: '/x', HOME: '/home/me' });
    expect(home).to.match(/^\/x\/linkspan\/testbed\/[0-9a-f]{16}$/);
    expect(cacheDirectory({ HOME: '/home/me' })).to.match(/^\/home\/me\/\.cache\/linkspan\/testbed\//);
  });
});

function downloadsAt(url: string, sha: string): Downloads {
  return {
    archive: { url: `${url}/a.tar.gz`, sha512: sha },
    release: (name) => ({ url: `${url}/${name}`, sha512: { url: `${url}/${name}.sha512` } }),
  };
}

/** With these variables in this process's environment, where the proxies are looked for. */
async function withEnv(variables: Readonly<Record<string, string>>, run: () => Promise<void>): Promise<void> {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  try {
    await run();
  } finally {
    for (const [name, value] of before)
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  }
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  return error instanceof TestbedError ? error.code : error;
}

function script(file: string, body: string): void {
  writeFileSync(file, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
}

import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import { loadAccess, type AccessSource, type ClusterAccess } from '../../../../src/kube/client/access.ts';
import { useTempDir } from '../../../support/temp-dir.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const KEY = '-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n';
const base64 = (text: string) => Buffer.from(text).toString('base64');

interface Shape {
  readonly cluster?: object;
  readonly user?: object | null;
  readonly context?: object;
  readonly more?: object;
}

/** A kubeconfig as kubectl writes it, with what a test cares about. */
function kubeconfig({ cluster = {}, user = {}, context = {}, more = {} }: Shape = {}): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'east', cluster: { server: 'https://10.0.0.1:6443', ...cluster } }],
    users: [{ name: 'admin', user }],
    contexts: [{ name: 'here', context: { cluster: 'east', user: 'admin', ...context } }],
    'current-context': 'here',
    ...more,
  });
}

const fromSecret = (text: string, context?: string): AccessSource => ({
  text,
  source: 'Secret l5d/east',
  ...(context === undefined ? {} : { context }),
});
const header = (access: ClusterAccess) => access.auth.authorization();

describe('kubeconfig that is right', () => {
  const rows: [string, Shape, Partial<ClusterAccess>, string | undefined][] = [
    ['a token', { user: { token: 'abc' } }, { skipVerify: false }, 'Bearer abc'],
    ['a token with a line end', { user: { token: 'abc\n' } }, {}, 'Bearer abc'],
    ['name and password', { user: { username: 'ann', password: 'x:y' } }, {}, `Basic ${base64('ann:x:y')}`],
    ['an inline CA', { cluster: { 'certificate-authority-data': base64(PEM) } }, { ca: PEM }, undefined],
    [
      'an inline CA broken into lines',
      { cluster: { 'certificate-authority-data': base64(PEM).replaceAll(/.{20}/g, '$&\n') } },
      { ca: PEM },
      undefined,
    ],
    [
      'an inline client certificate',
      { user: { 'client-certificate-data': base64(PEM), 'client-key-data': base64(KEY) } },
      { cert: PEM, key: KEY },
      undefined,
    ],
    [
      'insecure-skip-tls-verify',
      { cluster: { 'insecure-skip-tls-verify': true } },
      { skipVerify: true },
      undefined,
    ],
    [
      'tls-server-name',
      { cluster: { 'tls-server-name': 'api.east' } },
      { tlsServerName: 'api.east' },
      undefined,
    ],
    [
      'an empty tls-server-name',
      { cluster: { 'tls-server-name': '' } },
      { tlsServerName: undefined },
      undefined,
    ],
    ['an empty proxy-url', { cluster: { 'proxy-url': '' } }, {}, undefined],
    [
      'a path in the URL',
      { cluster: { server: 'https://h/k8s/east//' } },
      { server: 'https://h/k8s/east' },
      undefined,
    ],
    [
      'an IPv6 address',
      { cluster: { server: 'https://[fd00::1]:6443' } },
      { server: 'https://[fd00::1]:6443' },
      undefined,
    ],
    ['no user', { context: { user: undefined } }, {}, undefined],
    ['the empty user that kubectl writes', { context: { user: '' } }, {}, undefined],
    ['a user who is null', { user: null }, {}, undefined],
    ['null lists beside', { more: { preferences: null, extensions: null } }, {}, undefined],
    [
      'a broken cluster that is not used',
      {
        more: {
          clusters: [
            { name: 'old', cluster: { server: '' } },
            { name: 'none', cluster: null },
            { name: 'east', cluster: { server: 'https://10.0.0.1:6443' } },
          ],
        },
      },
      { server: 'https://10.0.0.1:6443' },
      undefined,
    ],
  ];
  for (const [what, shape, expected, authorization] of rows) {
    it(`may have ${what}`, async () => {
      const access = loadAccess(fromSecret(kubeconfig(shape)));
      expect(access).to.include(expected);
      expect(await header(access)).to.equal(authorization);
    });
  }

  it('may be JSON', () => {
    const text = JSON.stringify({
      clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:1' } }],
      contexts: [{ name: 'c', context: { cluster: 'c' } }],
      'current-context': 'c',
    });
    expect(loadAccess(fromSecret(text)).server).to.equal('http://127.0.0.1:1');
  });

  it('may hold several contexts, of which one is asked for', () => {
    const more = {
      clusters: [
        { name: 'east', cluster: { server: 'https://east' } },
        { name: 'west', cluster: { server: 'https://west' } },
      ],
      contexts: [
        { name: 'e', context: { cluster: 'east' } },
        { name: 'w', context: { cluster: 'west' } },
      ],
      'current-context': 'e',
    };
    expect(loadAccess(fromSecret(kubeconfig({ more }))).server).to.equal('https://east');
    expect(loadAccess(fromSecret(kubeconfig({ more }), 'w')).server).to.equal('https://west');
  });
});

describe('kubeconfig that names files', () => {
  const folder = useTempDir();

  function write(shape: Shape, files: Readonly<Record<string, string>>): { file: string } {
    const dir = folder();
    mkdirSync(path.join(dir, 'pki'), { recursive: true });
    for (const [name, content] of Object.entries(files)) writeFileSync(path.join(dir, name), content);
    const file = path.join(dir, 'config');
    writeFileSync(file, kubeconfig(shape));
    return { file };
  }

  it('finds them from its own folder', () => {
    const from = write(
      {
        cluster: { 'certificate-authority': 'pki/ca.crt' },
        user: { 'client-certificate': 'pki/tls.crt', 'client-key': './pki/tls.key' },
      },
      { 'pki/ca.crt': PEM, 'pki/tls.crt': PEM, 'pki/tls.key': KEY },
    );
    expect(loadAccess(from)).to.include({ ca: PEM, cert: PEM, key: KEY, source: from.file });
  });

  it('prefers what is inline', () => {
    const from = write(
      { cluster: { 'certificate-authority': 'gone', 'certificate-authority-data': base64(PEM) } },
      {},
    );
    expect(loadAccess(from).ca).to.equal(PEM);
  });

  it('reads the token file, which goes before a token', async () => {
    const from = write({ user: { tokenFile: 'pki/token', token: 'old' } }, { 'pki/token': 'fresh\n' });
    expect(await header(loadAccess(from))).to.equal('Bearer fresh');
  });

  it('says which token file cannot be read, when it is needed', async () => {
    const access = loadAccess(write({ user: { tokenFile: 'pki/token' } }, {}));
    const error: unknown = await header(access).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(codeOf(error)).to.equal('KUBECONFIG_UNREADABLE');
    expect(String(error)).to.contain('pki/token');
  });

  it('says which file is missing', () => {
    const from = write({ cluster: { 'certificate-authority': 'pki/ca.crt' } }, {});
    expect(() => loadAccess(from))
      .to.throw('pki/ca.crt')
      .with.property('code', 'KUBECONFIG_UNREADABLE');
  });

  it('may run a plugin, which is asked for the token', async () => {
    const credential = {
      kind: 'ExecCredential',
      apiVersion: 'client.authentication.k8s.io/v1',
      status: { token: 'won' },
    };
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', `console.log(${JSON.stringify(JSON.stringify(credential))})`],
      interactiveMode: 'Never',
    };
    expect(await header(loadAccess(write({ user: { exec } }, {})))).to.equal('Bearer won');
  });

  describe('with a plugin, as kubectl runs it', () => {
    // teleport#3691, fabric8io/kubernetes-client#5608: certificates were dropped, and requests anonymous;
    // relative paths were another folder's.
    const answer = (status: object) =>
      JSON.stringify({ kind: 'ExecCredential', apiVersion: 'client.authentication.k8s.io/v1', status });
    const plugin = (script: string) => ({
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', script],
      interactiveMode: 'IfAvailable',
    });
    const prints = (status: object) => plugin(`console.log(${JSON.stringify(answer(status))})`);
    const failureOf = async (access: ClusterAccess) => {
      try {
        await header(access);
      } catch (error) {
        return error as Error;
      }
      throw new Error('it should have failed');
    };

    it('may get a client certificate', async () => {
      const exec = prints({ clientCertificateData: PEM, clientKeyData: KEY });
      const { auth } = loadAccess(write({ user: { exec } }, {}));
      expect(await auth.authorization()).to.equal(undefined);
      expect(await auth.certificate?.()).to.deep.equal({ cert: PEM, key: KEY });
    });

    it('finds its command and the CA beside the file, whatever other entries hold', async () => {
      const script = `#!/bin/sh\necho '${answer({ token: 'beside' })}'\n`;
      const exec = { ...plugin(''), command: './plug', args: [] };
      const more = {
        clusters: [
          { name: 'broken', cluster: { server: '' } },
          { name: 'east', cluster: { server: 'https://10.0.0.1:6443', 'certificate-authority': 'ca.crt' } },
        ],
      };
      const from = write({ user: { exec }, more }, { 'ca.crt': PEM, plug: script });
      chmodSync(path.join(path.dirname(from.file), 'plug'), 0o755);
      const access = loadAccess(from);
      expect(access.ca).to.equal(PEM);
      expect(await header(access)).to.equal('Bearer beside');
    });

    it('is told of the cluster, and asked again when its token has expired', async () => {
      const script = `const { spec } = JSON.parse(process.env.KUBERNETES_EXEC_INFO);
        console.log(JSON.stringify({ status: { token: spec.cluster.server + ' ' + process.pid, expirationTimestamp: '2020-01-01T00:00:00Z' } }))`;
      const access = loadAccess(
        write({ user: { exec: { ...plugin(script), provideClusterInfo: true } } }, {}),
      );
      const first = await header(access);
      expect(first).to.match(/^Bearer https:\/\/10\.0\.0\.1:6443 \d+$/);
      expect(await header(access)).not.to.equal(first);
    });

    it('fails with what helps: the hint of one that is missing, the exit code, an answer that is none', async () => {
      const missing = {
        ...plugin(''),
        command: 'nosuch-gke-plugin',
        installHint: 'Install it from example.com',
      };
      expect((await failureOf(loadAccess(write({ user: { exec: missing } }, {})))).message).to.match(
        /nosuch-gke-plugin ENOENT\nInstall it from example\.com/,
      );
      for (const [script, message] of [
        ['process.exit(3)', /exit code 3/],
        ['console.log("hello")', /printed no ExecCredential/],
        [
          `console.log('{"status":{"clientCertificateData":"x"}}')`,
          /neither a token nor a client certificate/,
        ],
      ] as const)
        expect((await failureOf(loadAccess(write({ user: { exec: plugin(script) } }, {})))).message).to.match(
          message,
        );
    });

    it('speaks to people while it runs', () => {
      // python#1787: the device code of Azure's plugin was swallowed.
      const exec = plugin(
        `console.error('open example.com/device'); console.log(${JSON.stringify(answer({ token: 'x' }))})`,
      );
      const { file } = write({ user: { exec } }, {});
      const load = path.resolve(import.meta.dirname, '../../../../src/kube/client/access.ts');
      const program = `const { loadAccess } = await import(${JSON.stringify(load)});
        await loadAccess({ file: ${JSON.stringify(file)} }).auth.authorization();`;
      const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
        encoding: 'utf8',
      });
      expect(stderr).to.include('open example.com/device');
    });
  });

  it('says that it is not there', () => {
    expect(() => loadAccess({ file: '/nonexistent/config' }))
      .to.throw('/nonexistent/config')
      .with.property('code', 'KUBECONFIG_UNREADABLE');
  });
});

describe('kubeconfig that is wrong', () => {
  const rows: [string, string, RegExp][] = [
    ['is empty', '', /is empty/],
    ['is blank', ' \n\n', /is empty/],
    ['is a comment', '# nothing', /is not a kubeconfig/],
    ['is a word', 'hello', /is not a kubeconfig/],
    ['is a list', '[]', /is not a kubeconfig|has no current-context/],
    ['does not parse', 'clusters: [', /does not parse as YAML/],
    ['has nothing in it', '{}', /has no current-context/],
    ['has no current-context', kubeconfig({ more: { 'current-context': '' } }), /has no current-context/],
    [
      'names a context that it lacks',
      kubeconfig({ more: { 'current-context': 'x' } }),
      /no context "x" \(it has: here\)/,
    ],
    [
      'names a cluster that it lacks',
      kubeconfig({ context: { cluster: 'x' } }),
      /no cluster "x" \(it has: east\)/,
    ],
    ['names a user that it lacks', kubeconfig({ context: { user: 'x' } }), /no user "x" \(it has: admin\)/],
    ['has no users', kubeconfig({ more: { users: null } }), /no user "admin" \(it has: none\)/],
    ['has no server', kubeconfig({ cluster: { server: null } }), /cluster "east": server/],
    [
      'has a server without a scheme',
      kubeconfig({ cluster: { server: '10.0.0.1:6443' } }),
      /http or https URL/,
    ],
    ['has a server of another kind', kubeconfig({ cluster: { server: 'ftp://h' } }), /http or https URL/],
    [
      'has a cluster that is null',
      kubeconfig({ more: { clusters: [{ name: 'east', cluster: null }] } }),
      /cluster "east": server/,
    ],
    ['has a number for a token', kubeconfig({ user: { token: 12 } }), /user "admin": token/],
    [
      'has a CA that is not base64',
      kubeconfig({ cluster: { 'certificate-authority-data': '%%%' } }),
      /not base64/,
    ],
    [
      'has a CA as PEM, not base64',
      kubeconfig({ cluster: { 'certificate-authority-data': PEM } }),
      /not base64/,
    ],
    [
      'has base64 with damage',
      kubeconfig({ cluster: { 'certificate-authority-data': `${base64(PEM)}…` } }),
      /not base64/,
    ],
    [
      'has base64 of no PEM',
      kubeconfig({ cluster: { 'certificate-authority-data': base64('x') } }),
      /of a PEM file/,
    ],
    [
      'has a certificate without a key',
      kubeconfig({ user: { 'client-certificate-data': base64(PEM) } }),
      /certificate without its key/,
    ],
    [
      'has a key without a certificate',
      kubeconfig({ user: { 'client-key-data': base64(KEY) } }),
      /key without its certificate/,
    ],
    [
      'wants a proxy',
      kubeconfig({ cluster: { 'proxy-url': 'http://p:3128' } }),
      /http:\/\/p:3128.*not supported/,
    ],
    ['names a CA file in a Secret', kubeconfig({ cluster: { 'certificate-authority': '/ca' } }), /inline it/],
    ['names a token file in a Secret', kubeconfig({ user: { tokenFile: '/token' } }), /\/token/],
    ['runs a plugin in a Secret', kubeconfig({ user: { exec: { command: 'aws' } } }), /plugin/],
    [
      'has an auth-provider in a Secret',
      kubeconfig({ user: { 'auth-provider': { name: 'oidc' } } }),
      /plugin/,
    ],
  ];
  for (const [what, text, message] of rows) {
    it(`and ${what} is refused in one line that names it`, () => {
      let error: unknown;
      try {
        loadAccess(fromSecret(text));
      } catch (thrown) {
        error = thrown;
      }
      expect(codeOf(error)).to.equal('KUBECONFIG_INVALID');
      const line = error instanceof Error ? error.message : '';
      expect(line).to.match(message);
      expect(line).to.match(/^Secret l5d\/east [^\n]+$/);
    });
  }
});

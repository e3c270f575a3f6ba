import type { V1CertificateSigningRequest, V1ConfigMap } from '@kubernetes/client-node';
import { expect } from 'chai';
import { once } from 'node:events';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { LEAF_USAGES, SIGNER_NAME } from '../../src/api/names.ts';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { codeOf, type LinkspanError } from '../../src/api/errors/linkspan-error.ts';
import { makeCertificateRequest } from '../../src/identity/x509/certificate-request.ts';
import { csrIssuer } from '../../src/identity/sources/csr-issuer.ts';
import { identityName } from '../../src/identity/names/identity-name.ts';
import type { Identity, IdentitySource } from '../../src/identity/sources/identity.ts';
import { type IssuerSource, openIssuerDir } from '../../src/identity/authority/issuer-dir.ts';
import { type Authority, createAnchor, createIssuer } from '../../src/identity/authority/issue.ts';
import { pem } from '../../src/identity/x509/keys.ts';
import { writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { openRequestedIdentity } from '../../src/identity/sources/requested-identity.ts';
import { Signer } from '../../src/identity/signer/signer.ts';
import { openAnchorsConfigMap } from '../../src/identity/sources/trust-anchors.ts';
import { TrustPublisher } from '../../src/identity/signer/trust-publisher.ts';
import type { KubeClient } from '../../src/kube/client/kube-client.ts';
import { certificateSigningRequests, configMaps } from '../../src/api/kubernetes/resource.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { clientOf, find, remove } from '../support/cluster-objects.ts';
import { closedIn } from '../support/closed-in.ts';
import { clientAs as clientOfAccount } from '../support/account-client.ts';
import { chartAccounts } from '../support/chart.ts';
import { eventually } from '../support/eventually.ts';
import { useTempDir } from '../support/temp-dir.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };
const log = createLogger({ name: 'identity', level: process.env['LINKSPAN_TEST_LOG'] ?? 'silent' });
const shared = { clock: systemClock, random: Math.random, log };
const RULES = { controlNamespace: 'linkerd', trustDomain: 'cluster.local' };

describe('identities from CertificateSigningRequests', () => {
  const dir = useTempDir();
  let east: Cluster;
  let ns: string;
  let oldAnchor: Authority;
  let newAnchor: Authority;
  const opened = closedIn(afterEach);

  /** A client as a service account of the test's namespace. */
  const clientAs = (account: string) => clientOfAccount(east, { namespace: ns, name: account }, shared);
  const putIssuer = (issuer: Authority, ca = issuer.ca) =>
    writePemFiles(
      dir(),
      [
        { name: 'ca.crt', text: ca },
        { name: 'tls.key', text: issuer.key },
        { name: 'tls.crt', text: issuer.chain },
      ],
      { force: true },
    );
  const openIssuer = async () =>
    opened(await openIssuerDir({ dir: dir(), ...shared }), (source) => source.close());

  /** What `linkspan signer --issuer-dir` starts, as the account of the manifest. */
  async function startSigner(issuer: IssuerSource): Promise<Signer> {
    const client = opened(await clientAs('linkspan-signer'), (one) => one.close());
    const signer = opened(new Signer({ client, issuer, rules: RULES, ...shared }), (one) => one.stop());
    const trust = opened(
      new TrustPublisher({ trustDomain: 'cluster.local', client, namespace: ns, issuer, ...shared }),
      (one) => one.stop(),
    );
    signer.start();
    trust.start();
    return signer;
  }
  /** What `linkspan egress --identity csr` opens, as the account of the manifest. */
  async function openWorkload(
    account = 'linkspan-egress',
    clock: Clock = systemClock,
  ): Promise<IdentitySource> {
    const client = await clientAs(account);
    const issuer = csrIssuer({ client, ...RULES, lifetimeMs: 24 * 3_600_000, clock: systemClock, log });
    const ref = { namespace: ns, name: 'linkspan-trust' };
    const anchors = openAnchorsConfigMap({ client, ref, ...shared });
    return opened(openRequestedIdentity({ issuer, anchors, ...shared, clock }), (source) => source.close());
  }
  const nameOf = (serviceAccount: string) => identityName({ serviceAccount, namespace: ns });
  const identityOf = (source: IdentitySource) =>
    eventually('an identity', () => source.current(), wait).catch((error: unknown) => {
      throw new Error(source.ready.reason, { cause: error });
    });
  const requestsOf = async (account: string) =>
    (await clientOf(east).list(certificateSigningRequests)).items.filter(
      ({ spec }) => spec.username === `system:serviceaccount:${ns}:${account}`,
    );
  const createRequest = async (client: KubeClient, identity: string, signerName = SIGNER_NAME) =>
    client.create<V1CertificateSigningRequest>(certificateSigningRequests, {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      metadata: { generateName: 'test-' },
      spec: {
        signerName,
        request: Buffer.from(pem('CERTIFICATE REQUEST', makeCertificateRequest(identity).der)).toString(
          'base64',
        ),
        usages: signerName === SIGNER_NAME ? [...LEAF_USAGES] : ['digital signature', 'client auth'],
      },
    });
  const seen = async (request: V1CertificateSigningRequest) =>
    (await find(east, certificateSigningRequests, { name: request.metadata?.name ?? '' }))?.status;
  const condition = async (request: V1CertificateSigningRequest, type: string) =>
    (await seen(request))?.conditions?.find((candidate) => candidate.type === type);

  before(async () => {
    ({ east } = await sharedClusters());
    [oldAnchor, newAnchor] = await Promise.all([
      createAnchor({ name: 'old' }),
      createAnchor({ name: 'new' }),
    ]);
  });
  beforeEach(async () => {
    ns = await createNamespace(east, 'identity');
    await east.apply([
      ...(await chartAccounts(ns)),
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'mallory', namespace: ns } },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: `mallory-${ns}` },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'linkspan-egress' },
        subjects: [{ kind: 'ServiceAccount', name: 'mallory', namespace: ns }],
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: { name: 'mallory', namespace: ns },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'linkspan-egress-trust' },
        subjects: [{ kind: 'ServiceAccount', name: 'mallory', namespace: ns }],
      },
    ]);
    await putIssuer(await createIssuer(oldAnchor));
  });

  it('are given to a workload for its own account, with what the chart grants', async () => {
    const signer = await startSigner(await openIssuer());
    const workload = await openWorkload();
    const identity = await identityOf(workload);
    expect(identity.name).to.equal(nameOf('linkspan-egress'));
    expect(identity.ca).to.equal(oldAnchor.ca);
    expect(workload.ready).to.deep.equal({ ok: true, reason: '' });
    const [request] = await requestsOf('linkspan-egress');
    expect(request?.status?.conditions?.map(({ type, reason }) => [type, reason])).to.deep.equal([
      ['Approved', 'OwnIdentity'],
    ]);
    expect(signer.issued.get('Issued')).to.equal(1);
  });

  it('are waited for while nobody signs, and come when somebody does', async () => {
    const workload = await openWorkload();
    await eventually(
      'no anchors',
      () => workload.ready.reason.includes('linkspan-trust: it does not exist'),
      wait,
    );
    expect(workload.ready.ok).to.equal(false);
    await startSigner(await openIssuer());
    await identityOf(workload);
    expect(workload.ready.ok).to.equal(true);
  });

  it("are not given for somebody else's account", async () => {
    const signer = await startSigner(await openIssuer());
    const client = await clientAs('mallory');
    const issuer = opened(
      csrIssuer({ client, ...RULES, lifetimeMs: 3_600_000, clock: systemClock, log }),
      (one) => one.close(),
    );
    const name = nameOf('linkspan-egress');
    const request = { name, der: makeCertificateRequest(name).der, anchors: oldAnchor.ca };
    const error = await issuer
      .issue(request, new AbortController().signal)
      .catch((reason: unknown) => reason);
    expect(codeOf(error)).to.equal('IDENTITY_REQUEST_DENIED');
    expect((error as LinkspanError).fields['reason']).to.equal('IdentityMismatch');
    const [denied] = await requestsOf('mallory');
    expect(denied?.status?.certificate).to.equal(undefined);
    expect(denied?.status?.conditions?.[0]?.message).to.contain(nameOf('mallory'));
    expect(signer.issued).to.deep.equal(new Map([['IdentityMismatch', 1]]));
  });

  it('are not given for somebody else although a person approved it, and requests of other signers are left alone', async () => {
    const client = opened(await clientAs('mallory'), (one) => one.close());
    const approved = await createRequest(client, nameOf('linkspan-egress'));
    await east.kubectl('certificate', 'approve', approved.metadata?.name ?? '');
    const foreign = await createRequest(client, nameOf('mallory'), 'example.org/other');
    await startSigner(await openIssuer());
    const failed = await eventually('it failed', () => condition(approved, 'Failed'), wait);
    expect(failed.reason).to.equal('IdentityMismatch');
    expect((await seen(approved))?.certificate).to.equal(undefined);
    const own = await createRequest(client, nameOf('mallory'));
    await eventually('a later one is signed', async () => (await seen(own))?.certificate, wait);
    expect(await seen(foreign)).to.deep.equal({});
  });

  it('are signed once each by replicas that both try', async () => {
    const signers = [await startSigner(await openIssuer()), await startSigner(await openIssuer())];
    const client = opened(await clientAs('mallory'), (one) => one.close());
    const requests = await Promise.all(
      Array.from({ length: 12 }, () => createRequest(client, nameOf('mallory'))),
    );
    const conditions = await Promise.all(
      requests.map(async (request) => {
        await eventually('it is signed', async () => (await seen(request))?.certificate, wait);
        return (await seen(request))?.conditions?.map(({ type }) => type);
      }),
    );
    expect(conditions).to.deep.equal(requests.map(() => ['Approved']));
    const counted = () => signers.reduce((sum, { issued }) => sum + (issued.get('Issued') ?? 0), 0);
    await eventually('all are counted', () => counted() === requests.length, wait);
  });

  it('are renewed, and old requests deleted by an account that may', async () => {
    const apiGroup = 'rbac.authorization.k8s.io';
    const metadata = { name: `tidy-${ns}` };
    await east.apply([
      {
        apiVersion: `${apiGroup}/v1`,
        kind: 'ClusterRole',
        metadata,
        rules: [
          {
            apiGroups: ['certificates.k8s.io'],
            resources: ['certificatesigningrequests'],
            verbs: ['delete'],
          },
        ],
      },
      {
        apiVersion: `${apiGroup}/v1`,
        kind: 'ClusterRoleBinding',
        metadata,
        roleRef: { apiGroup, kind: 'ClusterRole', name: metadata.name },
        subjects: [{ kind: 'ServiceAccount', namespace: ns, name: 'linkspan-egress' }],
      },
    ]);
    await startSigner(await openIssuer());
    let ahead = 0;
    const jumping: Clock = {
      now: () => systemClock.now() + ahead,
      monotonic: () => systemClock.monotonic(),
      after: (ms, fn, options) => systemClock.after(Math.min(ms, 100), fn, options),
    };
    const workload = await openWorkload('linkspan-egress', jumping);
    const first = await identityOf(workload);
    ahead = 17 * 3_600_000;
    await eventually('a new leaf', () => workload.current()?.cert !== first.cert, wait);
    expect(workload.current()?.key).to.not.equal(first.key);
    expect(workload.ready).to.deep.equal({ ok: true, reason: '' });
    await eventually(
      'no request is left',
      async () => (await requestsOf('linkspan-egress')).length === 0,
      wait,
    );
  });

  // Step by step, with one workload that is slow to renew and one that is new: they must be able to speak to
  // each other at every step.
  it('outlive the rotation of the issuer and its anchors', async () => {
    const issuer = await openIssuer();
    await startSigner(issuer);
    const slow = await openWorkload('linkspan-egress');
    const before = await identityOf(slow);

    const both = oldAnchor.ca + newAnchor.ca;
    await putIssuer(await createIssuer(oldAnchor), both);
    await eventually('both anchors are distributed', () => slow.current()?.ca === both, wait);
    expect(slow.current()?.cert).to.equal(before.cert);

    const newIssuer = await createIssuer(newAnchor);
    await putIssuer(newIssuer, both);
    await eventually('the new issuer is in use', () => issuer.current()?.cert === newIssuer.cert, wait);
    const fresh = await identityOf(await openWorkload('mallory'));
    expect(await speak(slow.current() ?? before, fresh)).to.deep.equal([
      nameOf('linkspan-egress'),
      nameOf('mallory'),
    ]);
    expect(slow.current()?.cert).to.equal(before.cert);

    await putIssuer(newIssuer);
    await eventually('a leaf of the new anchor', () => slow.current()?.ca === newAnchor.ca, wait);
    expect(slow.current()?.cert).to.not.equal(before.cert);
    expect(slow.ready).to.deep.equal({ ok: true, reason: '' });
  });

  it('have their trust anchors put back when somebody deletes them', async () => {
    await startSigner(await openIssuer());
    const ref = { namespace: ns, name: 'linkspan-trust' };
    const bundle = () => find<V1ConfigMap>(east, configMaps, ref);
    await eventually('the ConfigMap', bundle, wait);
    await remove(east, configMaps, { namespace: ns, name: 'linkspan-trust' });
    await eventually(
      'the ConfigMap again',
      async () => (await bundle())?.data?.['ca.crt'] === oldAnchor.ca,
      wait,
    );
  });
});

/** A mutual handshake; whom each side takes the other for, the server's view of the client last. */
async function speak(server: Identity, client: Identity): Promise<(string | undefined)[]> {
  const { cert, key, ca } = server;
  const listener = createServer({
    cert,
    key,
    ca,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const accepted = once(listener, 'secureConnection') as Promise<[TLSSocket]>;
  const socket = connect({
    host: '127.0.0.1',
    port: (listener.address() as { port: number }).port,
    servername: server.name,
    cert: client.cert,
    key: client.key,
    ca: client.ca,
    checkServerIdentity: () => undefined,
  });
  try {
    const [[peer]] = await Promise.all([accepted, once(socket, 'secureConnect')]);
    const names = [socket, peer].map((side) =>
      side.getPeerX509Certificate()?.subjectAltName?.replace('DNS:', ''),
    );
    peer.destroy();
    return names;
  } finally {
    socket.destroy();
    listener.close();
  }
}

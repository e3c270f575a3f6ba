import { expect } from 'chai';
import { X509Certificate } from 'node:crypto';
import { codeOf } from '../../../src/api/errors/linkspan-error.ts';
import { type Authority, createAnchor, createIssuer } from '../../../src/identity/authority/issue.ts';
import { issuerSecretName, planIssuer, withoutIssuer } from '../../../src/install/issuer.ts';
import { valueAt, type Values } from '../../../src/install/values.ts';
import { nameConstraintsOf } from '../../../src/identity/x509/name-constraints.ts';
import { ownAuthority } from '../../support/authorities.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const clock = new VirtualClock();
const base64 = (text: string) => Buffer.from(text).toString('base64');

async function issuerFiles(authority?: Authority) {
  const issuer = authority ?? (await createIssuer(await createAnchor({ clock }), { clock }));
  const file = (path: string, text: string) => ({ path, text });
  return {
    ca: file('ca.crt', issuer.ca),
    cert: file('issuer.crt', issuer.chain),
    key: file('issuer.key', issuer.key),
  };
}

async function issuerSecret(data: Record<string, string> = {}, authority?: Authority) {
  const { ca, cert, key } = await issuerFiles(authority);
  const all = { 'ca.crt': ca.text, 'tls.crt': cert.text, 'tls.key': key.text, ...data };
  return {
    metadata: { namespace: 'ns', name: 'linkspan-issuer' },
    data: Object.fromEntries(Object.entries(all).map(([name, text]) => [name, base64(text)])),
  };
}

const codeFrom = (what: Promise<unknown>) => what.then(() => undefined, codeOf);

describe('the issuer of an installation', () => {
  it('is new where there is none, of the trust domain that the values say', async () => {
    const plan = await planIssuer({ identityTrustDomain: 'mesh.example' }, NOTHING, clock);
    expect(plan.from).to.equal('made');
    const anchors = String(valueAt(plan.values, 'identityTrustAnchorsPEM'));
    const own = new X509Certificate(String(valueAt(plan.values, 'identity.issuer.tls.crtPEM')));
    expect(own.verify(new X509Certificate(anchors).publicKey)).to.equal(true);
    expect(own.subject).to.equal('CN=identity.linkerd.mesh.example');
    expect(plan.notAfter).to.equal(new Date(own.validTo).getTime());
  });

  it('stays as it is in the cluster: nothing about it is applied', async () => {
    const plan = await planIssuer({}, { files: undefined, secret: await issuerSecret() }, clock);
    expect(plan.from).to.equal('kept');
    expect(plan.values).to.deep.equal({});
  });

  it('is what the files say, also where the cluster has another', async () => {
    const files = await issuerFiles();
    const plan = await planIssuer({}, { files, secret: await issuerSecret() }, clock);
    expect(plan.from).to.equal('given');
    expect(valueAt(plan.values, 'identity.issuer.tls.crtPEM')).to.equal(files.cert.text);
    expect(valueAt(plan.values, 'identityTrustAnchorsPEM')).to.equal(files.ca.text);
  });

  it('is refused when its parts do not belong together, or when it has expired', async () => {
    const [one, other] = [await issuerFiles(), await issuerFiles()];
    const given = (files: typeof one) => codeFrom(planIssuer({}, { ...NOTHING, files }, clock));
    expect(await given({ ...one, key: other.key })).to.equal('IDENTITY_KEY_MISMATCH');
    expect(await given({ ...one, ca: other.ca })).to.equal('IDENTITY_UNTRUSTED');
    const secret = await issuerSecret({ 'ca.crt': '' });
    expect(await codeFrom(planIssuer({}, { ...NOTHING, secret }, clock))).to.equal('IDENTITY_MISSING');
    const later = new VirtualClock();
    await later.advance(400 * 86_400_000);
    expect(await codeFrom(planIssuer({}, { ...NOTHING, files: one }, later))).to.equal('IDENTITY_EXPIRED');
  });

  it('may name nobody but this cluster, where it has a name', async () => {
    // A key in a cluster: who takes the cluster over must not be able to be anybody in the others.
    const values = { clusterName: 'west', identityTrustDomain: 'mesh.example' };
    const made = await planIssuer(values, NOTHING, clock);
    const pem = valueAt(made.values, 'identity.issuer.tls.crtPEM');
    for (const text of [String(pem), String(made.values['identityTrustAnchorsPEM'])])
      expect(nameConstraintsOf(new X509Certificate(text).raw)?.permitted.dns).to.deep.equal([
        'west.mesh.example',
      ]);
  });

  it('is refused when it may not name this cluster: its certificates would be believed by nobody', async () => {
    const secret = await issuerSecret({}, await ownAuthority('east.cluster.local'));
    const kept = (values: Values) => codeFrom(planIssuer(values, { ...NOTHING, secret }));
    expect(await kept({ clusterName: 'west' })).to.equal('IDENTITY_INVALID');
    expect(await kept({})).to.equal('IDENTITY_INVALID');
    expect((await planIssuer({ clusterName: 'east' }, { ...NOTHING, secret })).from).to.equal('kept');
  });

  it("is nobody's business where certificates come from elsewhere", async () => {
    const values = { identity: { source: 'certManager' } };
    expect(issuerSecretName(values)).to.equal(undefined);
    expect((await planIssuer(values, NOTHING, clock)).from).to.equal('none');
    expect(issuerSecretName({ identity: { issuer: { secretName: 'mine' } } })).to.equal('mine');
  });

  it('may stand in the values, but is not kept with them once the cluster has it', async () => {
    const values = {
      identity: { issuer: { tls: { crtPEM: 'a', keyPEM: 'b' } } },
      identityTrustAnchorsPEM: 'c',
      x: 1,
    };
    expect((await planIssuer(values, NOTHING, clock)).from).to.equal('values');
    expect(withoutIssuer(values)).to.deep.equal({ x: 1 });
  });
});

const NOTHING = { files: undefined, secret: undefined } as const;

import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import path from 'node:path';
import { expect } from 'chai';
import type { SocketAddress } from '../../../../src/base/address.ts';
import { systemClock } from '../../../../src/base/clock.ts';
import { LinkspanError } from '../../../../src/api/errors/linkspan-error.ts';
import { makeCertificateRequest } from '../../../../src/identity/x509/certificate-request.ts';
import {
  CERTIFY_PATH,
  decodeCertifyResponse,
  encodeCertifyRequest,
} from '../../../../src/identity/sources/certify-messages.ts';
import { callUnary } from '../../../../src/identity/sources/grpc-unary.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../../../src/identity/authority/issue.ts';
import { verifyIdentity } from '../../../../src/identity/sources/loaded-identity.ts';
import {
  isLoopback,
  linkerdIssuer,
  type LinkerdIssuerOptions,
} from '../../../../src/identity/sources/linkerd-issuer.ts';
import {
  FakeIdentityService,
  type FakeIdentityServiceOptions,
} from '../../../support/fake-identity-service.ts';
import { useTempDir } from '../../../support/temp-dir.ts';

const HOUR = 3_600_000;
const SERVICE = 'linkerd-identity.linkerd.serviceaccount.identity.linkerd.cluster.local';
const GATEWAY = 'linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local';
const never = new AbortController().signal;

const anchor = await createAnchor({ lifetimeMs: 100 * HOUR });
const issuer = await createIssuer(anchor, { lifetimeMs: 50 * HOUR });
const stranger = await createAnchor({ lifetimeMs: 100 * HOUR });

/** A token whose claims say whose it is; nobody here checks its signature. */
function tokenOf(sub: string): string {
  return `e30.${Buffer.from(JSON.stringify({ sub })).toString('base64url')}.c2ln`;
}
const TOKEN = tokenOf('system:serviceaccount:linkerd-multicluster:linkerd-gateway');

async function failure(work: Promise<unknown>): Promise<LinkspanError> {
  const error = await work.then(
    () => new Error('nothing failed'),
    (reason: unknown) => reason,
  );
  if (error instanceof LinkspanError) return error;
  throw error as Error;
}

describe("Linkerd's identity service", () => {
  const dir = useTempDir();
  let service: FakeIdentityService | undefined;
  let address: SocketAddress;

  const serve = async (options: Partial<FakeIdentityServiceOptions> = {}) => {
    service = new FakeIdentityService({ issuer, clock: systemClock, token: TOKEN, ...options });
    address = await service.start();
    return service;
  };
  const asking = async (options: Partial<LinkerdIssuerOptions> = {}, token = TOKEN) => {
    const tokenFile = path.join(dir(), 'token');
    await writeFile(tokenFile, `${token}\n`);
    return linkerdIssuer({
      address,
      serverIdentity: SERVICE,
      tokenFile,
      controlNamespace: 'linkerd',
      trustDomain: 'cluster.local',
      clock: systemClock,
      ...options,
    });
  };
  const request = () => ({ name: GATEWAY, der: makeCertificateRequest(GATEWAY).der, anchors: anchor.ca });
  afterEach(async () => {
    await service?.stop();
    service = undefined;
  });

  it('certifies the key that was made here, by the name and token of the service account', async () => {
    const fake = await serve();
    const asked = await asking();
    const name = await asked.name(never);
    expect(name).to.equal(GATEWAY);
    const { key, der } = makeCertificateRequest(name);
    const issued = await asked.issue({ name, der, anchors: anchor.ca }, never);
    const [cert, keyText, ca] = [issued.cert, key, anchor.ca].map((text) => ({ path: 'x', text }));
    if (cert === undefined || keyText === undefined || ca === undefined) throw new Error('three');
    expect(verifyIdentity({ cert, key: keyText, ca }, Date.now()).identity.name).to.equal(GATEWAY);
    expect(issued.validUntil).to.be.closeTo(Date.now() + 24 * HOUR, 60_000);
    expect(fake.requests.map(({ identity }) => identity)).to.deep.equal([GATEWAY]);
  });

  it('is asked for the name that was given, whatever the token says', async () => {
    await serve();
    expect(await (await asking({ name: 'other.name' })).name(never)).to.equal('other.name');
  });

  it('says that a token is not of a service account', async () => {
    await serve();
    for (const token of ['opaque', tokenOf('admin')]) {
      const error = await failure((await asking({}, token)).name(never));
      expect(error.code).to.equal('IDENTITY_INVALID');
      expect(error.hint).to.contain('--identity-name');
    }
  });

  it('refuses a wrong token with its own words', async () => {
    await serve();
    const error = await failure((await asking({}, 'stale')).issue(request(), never));
    expect(error.code).to.equal('IDENTITY_SERVICE_REFUSED');
    expect(error.message).to.contain('Unable to validate token: invalid bearer token!');
    expect(error.fields['grpcStatus']).to.equal('9');
  });

  // Projected tokens live for an hour; one that was read at the start is refused at the first renewal.
  it('gets the token that is in the file now', async () => {
    await serve();
    const asked = await asking({}, 'stale');
    await failure(asked.issue(request(), never));
    await writeFile(path.join(dir(), 'token'), TOKEN);
    expect((await asked.issue(request(), never)).cert).to.contain('BEGIN CERTIFICATE');
  });

  it('names a token file that is missing or empty', async () => {
    await serve();
    const missing = await asking({ tokenFile: '/nowhere/token' });
    expect((await failure(missing.issue(request(), never))).code).to.equal('IDENTITY_MISSING');
    const empty = await asking({}, '');
    expect((await failure(empty.issue(request(), never))).message).to.contain('is empty');
  });

  it('is unreachable when nobody listens', async () => {
    const fake = await serve();
    await fake.stop();
    const error = await failure((await asking()).issue(request(), never));
    expect(error.code).to.equal('IDENTITY_SERVICE_UNREACHABLE');
    expect(error.message).to.contain('ECONNREFUSED');
  });

  it('is unreachable when it accepts and says nothing', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    try {
      const { port } = silent.address() as { port: number };
      const asked = await asking({ address: { host: '127.0.0.1', port }, timeoutMs: 100 });
      const error = await failure(asked.issue(request(), never));
      expect(error.code).to.equal('IDENTITY_SERVICE_UNREACHABLE');
      expect(error.message).to.contain('no answer within 0.1 s');
    } finally {
      silent.close();
    }
  });

  it('is garbled when the answer is none', async () => {
    const fake = await serve();
    fake.answer = () => Promise.resolve(Buffer.from('0a7f61', 'hex'));
    const error = await failure((await asking()).issue(request(), never));
    expect(error.code).to.equal('IDENTITY_SERVICE_GARBLED');
  });

  it('stops asking when it is told to', async () => {
    const fake = await serve();
    fake.answer = () => new Promise(() => undefined);
    const stop = new AbortController();
    const asked = (await asking()).issue(request(), stop.signal).catch((error: unknown) => error);
    stop.abort(new Error('closed'));
    expect(((await asked) as Error).message).to.equal('closed');
  });

  describe('over TLS', () => {
    const call = (identity: string, anchors: string) =>
      callUnary({
        address,
        server: { identity, anchors },
        path: CERTIFY_PATH,
        message: encodeCertifyRequest({ identity: GATEWAY, token: Buffer.from(TOKEN), csr: request().der }),
        clock: systemClock,
        signal: never,
      });

    it('answers when it proves the identity that was meant', async () => {
      await serve({ tls: await issueLeaf(issuer, { identity: SERVICE }) });
      expect(decodeCertifyResponse(await call(SERVICE, anchor.ca)).leaf.length).to.be.greaterThan(100);
    });

    // The token would go to whoever answers at that address.
    it('gets no token when it proves another identity, or is of another anchor', async () => {
      const fake = await serve({ tls: await issueLeaf(issuer, { identity: GATEWAY }) });
      const other = await failure(call(SERVICE, anchor.ca));
      expect(other.code).to.equal('IDENTITY_SERVICE_UNREACHABLE');
      expect(other.message).to.contain(`it proved ${GATEWAY} instead of ${SERVICE}`);
      expect((await failure(call(GATEWAY, stranger.ca))).code).to.equal('IDENTITY_SERVICE_UNREACHABLE');
      expect(fake.requests).to.deep.equal([]);
    });
  });

  it('is spoken to in the clear on loopback only', () => {
    for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost'])
      expect(isLoopback(host), host).to.equal(true);
    for (const host of ['10.0.0.1', '127.0.0.1.example.org', 'linkerd-identity.linkerd', '0.0.0.0'])
      expect(isLoopback(host), host).to.equal(false);
  });
});

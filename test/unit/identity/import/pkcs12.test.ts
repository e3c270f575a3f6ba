import { expect } from 'chai';
import forge from 'node-forge';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import { child, encoded, type Asn1Node, octets, parse } from '../../../../src/identity/import/asn1.ts';
import { MAX_ROUNDS } from '../../../../src/identity/import/password-based.ts';
import { type KeyMaterial, MAX_CONTAINER, readPkcs12 } from '../../../../src/identity/import/pkcs12.ts';
import { bytesOf } from './testdata.ts';

const read = (name: string, password?: string) => readPkcs12(bytesOf(name), name, password);

function failure(bytes: Uint8Array, password?: string): { code: string | undefined; message: string } {
  try {
    readPkcs12(bytes, 'ca.p12', password);
  } catch (error) {
    return { code: codeOf(error), message: (error as Error).message };
  }
  throw new Error('did not fail');
}

/** `read`, or the code of the error; `undefined` for one that is none of ours. */
function outcome(bytes: Uint8Array, password: string): string {
  try {
    readPkcs12(bytes, 'ca.p12', password);
    return 'read';
  } catch (error) {
    return String(codeOf(error));
  }
}

function sequence(...parts: Asn1Node[]): Asn1Node {
  return forge.asn1.create(forge.asn1.Class.UNIVERSAL, forge.asn1.Type.SEQUENCE, true, parts);
}

function expectWhole({ keys, certificates }: KeyMaterial, kind: string, count: number): void {
  expect(keys.map(({ key }) => key.asymmetricKeyType)).to.deep.equal([kind]);
  expect(certificates).to.have.lengthOf(count);
  const [key] = keys;
  const own = certificates.filter(({ x509 }) => key !== undefined && x509.checkPrivateKey(key.key));
  expect(own.map(({ id }) => id)).to.deep.equal([key?.id]);
}

describe('a PKCS#12 file', () => {
  const files: readonly [name: string, password: string, kind: string, certificates: number][] = [
    // PBES2 with AES-256 and an HMAC of SHA-256: what OpenSSL 3 makes.
    ['ec-issuer.p12', 'secret', 'ec', 3],
    ['rsa-anchor.p12', 'secret', 'rsa', 1],
    // 3DES, RC2 of 40 bits and SHA-1: what OpenSSL 1, Java 8 and Windows make. OpenSSL 3 itself reads it no
    // more.
    ['legacy-rsa-issuer.p12', 'secret', 'rsa', 2],
    ['other-ciphers.p12', 'secret', 'ec', 3],
    ['not-encrypted.p12', 'secret', 'ec', 3],
    ['without-mac.p12', 'secret', 'ec', 3],
    ['empty-password.p12', '', 'ec', 3],
    // UTF-8 for PBES2, UTF-16 for the MAC: of one password in one file.
    ['umlaut.p12', 'schlüssel€', 'ec', 3],
    ['legacy-umlaut.p12', 'schlüssel€', 'ec', 3],
  ];
  for (const [name, password, kind, count] of files) {
    it(`${name} is read, keys and certificates`, () => {
      expectWhole(read(name, password), kind, count);
    });

    it(`${name} is not opened by another password`, () => {
      expect(failure(bytesOf(name), 'wrong').code).to.equal('IDENTITY_PASSWORD_WRONG');
    });
  }

  it('with an empty password needs none, and every other says that one is missing', () => {
    expectWhole(read('empty-password.p12'), 'ec', 3);
    expect(failure(bytesOf('ec-issuer.p12')).code).to.equal('IDENTITY_PASSWORD_MISSING');
    expect(failure(bytesOf('ec-issuer.p12'), '').code).to.equal('IDENTITY_PASSWORD_WRONG');
    expect(failure(bytesOf('without-mac.p12')).code).to.equal('IDENTITY_PASSWORD_MISSING');
  });

  it('without keys or without certificates is read too: what is missing is told by who needs it', () => {
    expect(read('certificates-alone.p12', 'secret').keys).to.have.lengthOf(0);
    expect(read('key-alone.p12', 'secret').certificates).to.have.lengthOf(0);
  });

  it('names a scheme that is not read', () => {
    const { code, message } = failure(bytesOf('rc2-128.p12'), 'secret');
    expect(code).to.equal('IDENTITY_CONTAINER_UNSUPPORTED');
    expect(message).to.contain('1.2.840.113549.1.12.1.5');
  });

  it('is told from other files, empty ones, and halves', () => {
    const whole = bytesOf('ec-issuer.p12');
    const others = [bytesOf('ec-issuer.crt.pem'), Buffer.alloc(0), whole.subarray(0, whole.length / 2)];
    const leaf = read('ec-issuer.p12', 'secret').certificates[0]?.x509.raw ?? Buffer.alloc(0);
    for (const bytes of [...others, leaf, Buffer.alloc(MAX_CONTAINER, 0x30)])
      expect(failure(bytes, 'secret').code).to.equal('IDENTITY_CONTAINER_INVALID');
  });

  it('is not read when it is larger than any', () => {
    const { code } = failure(
      Buffer.concat([bytesOf('ec-issuer.p12'), Buffer.alloc(MAX_CONTAINER)]),
      'secret',
    );
    expect(code).to.equal('IDENTITY_CONTAINER_INVALID');
  });

  // Bits of it changed, whichever, and no MAC that would notice: what comes out is keys and certificates, or
  // an error of ours.
  for (const name of ['not-encrypted.p12', 'legacy-umlaut.p12']) {
    it(`that is damaged anywhere fails with a code: ${name}`, () => {
      const pfx = parse(bytesOf(name));
      const whole = encoded(sequence(child(pfx, 0), child(pfx, 1)));
      const seen = new Set<string>();
      for (let at = 0; at < whole.length; at += name === 'not-encrypted.p12' ? 5 : 31) {
        const damaged = Buffer.from(whole);
        damaged[at] = (damaged[at] ?? 0) ^ 0x13;
        seen.add(outcome(damaged, name === 'not-encrypted.p12' ? 'secret' : 'schlüssel€'));
      }
      expect([...seen]).to.include('IDENTITY_CONTAINER_INVALID');
      expect([...seen]).to.not.include('undefined');
    });
  }

  it('in pieces of indefinite length (BER) is read as the same in one', () => {
    const pfx = parse(bytesOf('not-encrypted.p12'));
    const contents = octets(child(pfx, 1, 1, 0));
    const ber = indefinite([
      encoded(child(pfx, 0)),
      indefinite([encoded(child(pfx, 1, 0)), indefinite([inPieces(contents)], 0xa0)], 0x30),
      encoded(child(pfx, 2)),
    ]);
    expectWhole(readPkcs12(ber, 'ber.p12', 'secret'), 'ec', 3);
  });
});

/**
 * Somebody hands you a file that keeps you waiting for a year: rounds are counted before the first is done.
 */
describe('the rounds of key derivation of a PKCS#12 file', () => {
  const pfx = () => parse(bytesOf('ec-issuer.p12'));
  const setRounds = (node: Asn1Node, rounds: number) => {
    node.value = forge.asn1.integerToDer(rounds).getBytes();
  };

  it('are bounded for the MAC', () => {
    for (const rounds of [MAX_ROUNDS + 1, 2_147_483_647]) {
      const whole = pfx();
      setRounds(child(whole, 2, 2), rounds);
      expect(failure(encoded(whole), 'secret').code).to.equal('IDENTITY_CONTAINER_UNSUPPORTED');
    }
  });

  it('are bounded for what is encrypted, all of it together', () => {
    const whole = pfx();
    const safe = parse(octets(child(whole, 1, 1, 0)));
    // [1] EncryptedData: contents, their algorithm, parameters of PBES2, of PBKDF2, rounds.
    setRounds(child(safe, 0, 1, 0, 1, 1, 1, 0, 1, 1), MAX_ROUNDS);
    const without = sequence(child(whole, 0), child(whole, 1));
    child(whole, 1, 1, 0).value = encoded(safe).toString('latin1');
    expect(failure(encoded(without)).code).to.equal('IDENTITY_CONTAINER_UNSUPPORTED');
  });

  it('may not be none', () => {
    const whole = pfx();
    setRounds(child(whole, 2, 2), 0);
    expect(failure(encoded(whole), 'secret').code).to.equal('IDENTITY_CONTAINER_INVALID');
  });
});

function indefinite(parts: readonly Uint8Array[], tag = 0x30): Buffer {
  return Buffer.concat([Buffer.from([tag, 0x80]), ...parts, Buffer.alloc(2)]);
}

/** A constructed octet string of pieces of 100 bytes. */
function inPieces(bytes: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 100) {
    const piece = bytes.subarray(at, at + 100);
    pieces.push(Buffer.from([0x04, piece.length]), piece);
  }
  return indefinite(pieces, 0x24);
}

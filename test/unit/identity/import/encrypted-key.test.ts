import { expect } from 'chai';
import { X509Certificate } from 'node:crypto';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import { readKeyPem } from '../../../../src/identity/import/encrypted-key.ts';
import { bytesOf } from './testdata.ts';

const text = (name: string) => bytesOf(name).toString();

function codeFrom(pem: string, password?: string): string | undefined {
  try {
    readKeyPem(pem, 'ca.key', password);
  } catch (error) {
    return codeOf(error);
  }
  throw new Error('did not fail');
}

describe('an encrypted key in PEM', () => {
  const files: readonly [name: string, password: string][] = [
    ['ec-pbes2.key.pem', 'secret'],
    ['rsa-pbes2-umlaut.key.pem', 'schlüssel€'],
    ['rsa-3des.key.pem', 'secret'],
    ['ec-traditional.key.pem', 'secret'],
    ['rsa-traditional.key.pem', 'secret'],
    // OpenSSL 3 has DES no more: node-forge reads it.
    ['rsa-traditional-des.key.pem', 'secret'],
  ];
  for (const [name, password] of files) {
    const own = new X509Certificate(
      bytesOf(name.startsWith('ec') ? 'ec-issuer.crt.pem' : 'rsa-issuer.crt.pem'),
    );
    it(`${name} is read with its password and no other`, () => {
      expect(own.checkPrivateKey(readKeyPem(text(name), name, password))).to.equal(true);
      expect(codeFrom(text(name), 'wrong')).to.equal('IDENTITY_PASSWORD_WRONG');
      expect(codeFrom(text(name), '')).to.equal('IDENTITY_PASSWORD_WRONG');
      expect(codeFrom(text(name))).to.equal('IDENTITY_PASSWORD_MISSING');
    });

    it(`${name} is read with the line ends of Windows, and with text around it`, () => {
      const windows = `Bag Attributes\r\n${text(name).replaceAll('\n', '\r\n')}`;
      expect(own.checkPrivateKey(readKeyPem(windows, name, password))).to.equal(true);
    });
  }

  it('may be not encrypted at all', () => {
    const own = new X509Certificate(bytesOf('rsa-issuer.crt.pem'));
    expect(own.checkPrivateKey(readKeyPem(text('rsa-plain.key.pem'), 'ca.key', undefined))).to.equal(true);
  });

  it('names an encryption that is not read', () => {
    expect(codeFrom(text('ec-scrypt.key.pem'), 'secret')).to.equal('IDENTITY_CONTAINER_UNSUPPORTED');
    expect(codeFrom(text('ec-traditional-des.key.pem'), 'secret')).to.equal('IDENTITY_CONTAINER_UNSUPPORTED');
    const camellia = text('ec-traditional.key.pem').replace('AES-256-CBC', 'CAMELLIA-256-CBC');
    expect(codeFrom(camellia, 'secret')).to.equal('IDENTITY_CONTAINER_UNSUPPORTED');
  });

  it('is told from what is none', () => {
    expect(codeFrom('', 'secret')).to.equal('IDENTITY_INVALID');
    expect(codeFrom(text('ec-issuer.crt.pem'), 'secret')).to.equal('IDENTITY_INVALID');
    const lines = text('ec-pbes2.key.pem').split('\n');
    const half = [...lines.slice(0, 3), ...lines.slice(-2)].join('\n');
    expect(codeFrom(half, 'secret')).to.equal('IDENTITY_CONTAINER_INVALID');
  });
});

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { type Authority, parseAuthority } from './issue.ts';
import type { Identity } from '../sources/identity.ts';
import { traditionalPem } from '../x509/keys.ts';
import { CA_FILE, CERT_FILE, KEY_FILE } from '../sources/identity-dir.ts';

/** A file to write; a secret one is readable by its owner only, from its first byte on. */
export interface PemFile {
  readonly name: string;
  readonly text: string;
  readonly secret?: boolean;
}

/** Files of a trust anchor and of an issuer, named as in Linkerd's documentation. */
export const ANCHOR_KEY_FILE = 'ca.key';
export const ISSUER_CERT_FILE = 'issuer.crt';
export const ISSUER_KEY_FILE = 'issuer.key';

/** `ca.crt`, `ca.key` */
export function anchorFiles(anchor: Authority): PemFile[] {
  return [
    { name: ANCHOR_KEY_FILE, text: traditionalPem(anchor.key), secret: true },
    { name: CA_FILE, text: anchor.cert },
  ];
}

/** `issuer.crt` (followed by intermediates up to the anchor), `issuer.key`, `ca.crt` */
export function issuerFiles(issuer: Authority): PemFile[] {
  return [
    { name: CA_FILE, text: issuer.ca },
    { name: ISSUER_KEY_FILE, text: traditionalPem(issuer.key), secret: true },
    { name: ISSUER_CERT_FILE, text: issuer.chain },
  ];
}

/** `tls.crt`, `tls.key`, `ca.crt`: an identity directory. */
export function identityFiles(identity: Identity): PemFile[] {
  return [
    { name: CA_FILE, text: identity.ca },
    { name: KEY_FILE, text: identity.key, secret: true },
    { name: CERT_FILE, text: identity.cert },
  ];
}

/**
 * Writes files into a directory, which is made if need be; each appears whole or not at all. A file that
 * already has the same content is left alone; nothing is written at all when a different file of one of these
 * names exists.
 * @returns paths of all files, in the order given
 * @throws LinkspanError FILE_EXISTS (unless `force`), FILE_NOT_WRITTEN
 */
export async function writePemFiles(
  dir: string,
  files: readonly PemFile[],
  options: { force?: boolean } = {},
): Promise<string[]> {
  const paths = files.map((file) => path.join(dir, file.name));
  const present = await Promise.all(paths.map(readIfThere));
  const taken = paths.filter(
    (_, index) => present[index] !== undefined && present[index] !== files[index]?.text,
  );
  if (taken.length > 0 && options.force !== true) {
    throw new LinkspanError('FILE_EXISTS', `${taken.join(', ')}: there already`);
  }
  try {
    await mkdir(dir, { recursive: true });
    for (const [index, file] of files.entries()) {
      if (present[index] !== file.text) await writeWhole(path.join(dir, file.name), file);
    }
  } catch (cause) {
    throw new LinkspanError('FILE_NOT_WRITTEN', `${dir}: ${(cause as Error).message}`, { cause });
  }
  return paths;
}

async function writeWhole(target: string, file: PemFile): Promise<void> {
  const temporary = `${target}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    await writeFile(temporary, file.text, { mode: file.secret === true ? 0o600 : 0o644, flag: 'wx' });
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * Undefined only where there is no such file. One that cannot be read counts as one with other contents, so
 * that it is not overwritten.
 */
async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : '';
  }
}

/**
 * The trust anchor in a directory that `anchorFiles` fills.
 * @throws LinkspanError IDENTITY_MISSING, IDENTITY_INVALID, IDENTITY_KEY_MISMATCH
 */
export async function readAnchor(dir: string): Promise<Authority> {
  // One after the other, so that of two missing files the first is named.
  const cert = await readPem(dir, CA_FILE);
  const key = await readPem(dir, ANCHOR_KEY_FILE);
  return parseAuthority({ cert, key });
}

/**
 * The issuer in a directory that `issuerFiles` fills.
 * @throws LinkspanError IDENTITY_MISSING, IDENTITY_INVALID, IDENTITY_KEY_MISMATCH
 */
export async function readIssuer(dir: string): Promise<Authority> {
  const cert = await readPem(dir, ISSUER_CERT_FILE);
  const key = await readPem(dir, ISSUER_KEY_FILE);
  const ca = await readPem(dir, CA_FILE);
  return parseAuthority({ cert, key, ca });
}

/**
 * Text of a PEM file.
 * @throws LinkspanError IDENTITY_MISSING
 */
export async function readPem(dir: string, name: string): Promise<{ path: string; text: string }> {
  const file = path.join(dir, name);
  try {
    return { path: file, text: await readFile(file, 'utf8') };
  } catch (cause) {
    const gone = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    const what = gone ? 'there is no such file' : 'it cannot be read';
    throw new LinkspanError('IDENTITY_MISSING', `${file}: ${what}`, gone ? {} : { cause });
  }
}

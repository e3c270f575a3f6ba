import { createReadStream } from 'node:fs';
import { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import { codeOf, LinkspanError } from '../../api/errors/linkspan-error.ts';
import type { ImportedAuthority } from '../../identity/import/imported-authority.ts';
import type { KeyMaterial } from '../../identity/import/pkcs12.ts';
import { writeFiles } from '../output/identity-files.ts';
import { askPassword, givenPassword, type PasswordSources, readAtMost } from '../flags/password.ts';

/** Environment variable for the password, where there is neither a file nor a terminal. */
const PASSWORD_VARIABLE = 'LINKSPAN_IMPORT_PASSWORD';

const schema = z
  .strictObject({
    pkcs12: z.string().min(1).optional(),
    cert: z.string().min(1).optional(),
    key: z.string().min(1).optional(),
    ca: z.string().min(1).optional(),
    as: z.enum(['anchor', 'issuer']).optional(),
    passwordFile: z.string().min(1).optional(),
    out: z.string().min(1),
    force: z.boolean().default(false),
  })
  .refine(({ pkcs12, cert, key }) => (pkcs12 === undefined) !== (cert === undefined && key === undefined), {
    message: 'give either --pkcs12, or --cert and --key',
  })
  .refine(({ cert, key }) => (cert === undefined) === (key === undefined), {
    message: '--cert and --key belong together',
  });
type Settings = z.output<typeof schema>;

/**
 * `linkspan identity import`: imports an authority from PKCS#12 or PEM. node-forge is loaded by this verb
 * only.
 */
export function importCommand(): Command {
  return new Command('import')
    .description(
      "take a company's trust anchor or issuer (ECDSA P-256 or RSA) out of a PKCS#12 file or encrypted PEM: the files that `identity anchor` or `identity issuer` would write",
    )
    .option('--pkcs12 <file>', 'a .p12 or .pfx file with the key, its certificate and those above it')
    .option('--cert <file>', 'PEM: the certificate and those above it, instead of --pkcs12')
    .option('--key <file>', 'PEM key of it, encrypted (PKCS#8, or with Proc-Type) or not')
    .option('--ca <file>', 'PEM trust anchors that an issuer leads to (default: the root in the file)')
    .option('--as <kind>', 'anchor or issuer (default: an anchor when it is self-signed)')
    .option(
      '--password-file <file>',
      `where the password is, - for stdin (default: ${PASSWORD_VARIABLE}, else it is asked for at a terminal)`,
    )
    .requiredOption('--out <dir>', 'directory to write to')
    .option('--force', 'replace files that are there')
    .action((options: unknown) =>
      run(parseFlags(schema, options, 'identity import'), {
        env: process.env[PASSWORD_VARIABLE],
        stdin: process.stdin,
        stderr: process.stderr,
      }),
    );
}

async function run(flags: Settings, terminal: Omit<PasswordSources, 'file'>): Promise<void> {
  const { importedAuthority } = await import('../../identity/import/imported-authority.ts');
  const { anchorFiles, issuerFiles } = await import('../../identity/authority/pem-files.ts');
  const where = flags.pkcs12 ?? flags.cert ?? '';
  const bundle = flags.ca === undefined ? {} : { bundle: { path: flags.ca, text: await textOf(flags.ca) } };
  const material = await withPassword(
    { ...terminal, file: flags.passwordFile },
    flags.pkcs12 ?? flags.key ?? '',
    await opener(flags),
  );
  const as = flags.as === undefined ? {} : { as: flags.as };
  const found = await importedAuthority(material, { where, ...bundle, ...as, now: systemClock.now() });
  await writeFiles(
    flags,
    found.kind === 'anchor' ? anchorFiles(found.authority) : issuerFiles(found.authority),
  );
  tellRest(found);
}

/** Reads the files, and returns a function that decrypts them with a password. */
async function opener(flags: Settings): Promise<(password: string | undefined) => KeyMaterial> {
  if (flags.pkcs12 !== undefined) {
    const { pkcs12 } = flags;
    const { readPkcs12 } = await import('../../identity/import/pkcs12.ts');
    const bytes = await bytesOf(pkcs12);
    return (password) => readPkcs12(bytes, pkcs12, password);
  }
  const { cert = '', key = '' } = flags;
  const { readKeyPem } = await import('../../identity/import/encrypted-key.ts');
  const { parseCertificates } = await import('../../identity/x509/certificate.ts');
  const certificates = parseCertificates(await textOf(cert), cert).map(({ x509 }) => ({
    x509,
    id: undefined,
  }));
  const text = await textOf(key);
  return (password) => ({ keys: [{ key: readKeyPem(text, key, password), id: undefined }], certificates });
}

/**
 * Runs `open` with the given password or none; where that fails because one is needed, asks for it at the
 * terminal.
 */
async function withPassword<T>(
  sources: PasswordSources,
  what: string,
  open: (password: string | undefined) => T,
): Promise<T> {
  const given = await givenPassword(sources);
  try {
    return open(given);
  } catch (error) {
    if (codeOf(error) !== 'IDENTITY_PASSWORD_MISSING') throw error;
    const typed = await askPassword(sources, what);
    if (typed === undefined) throw error;
    return open(typed);
  }
}

async function textOf(file: string): Promise<string> {
  return (await bytesOf(file)).toString('utf8');
}

/**
 * @throws LinkspanError IDENTITY_MISSING, IDENTITY_CONTAINER_INVALID when it is larger than `MAX_CONTAINER`
 */
async function bytesOf(file: string): Promise<Buffer> {
  const { MAX_CONTAINER } = await import('../../identity/import/pkcs12.ts');
  let bytes: Buffer | undefined;
  try {
    bytes = await readAtMost(createReadStream(file), MAX_CONTAINER);
  } catch (cause) {
    const gone = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new LinkspanError(
      'IDENTITY_MISSING',
      `${file}: ${gone ? 'there is no such file' : 'it cannot be read'}`,
      { cause },
    );
  }
  if (bytes !== undefined) return bytes;
  throw new LinkspanError('IDENTITY_CONTAINER_INVALID', `${file}: larger than ${MAX_CONTAINER} bytes`);
}

function tellRest({ kind, leftOut }: ImportedAuthority): void {
  const next =
    kind === 'anchor'
      ? 'Make issuers under it: linkspan identity issuer --anchor.'
      : 'Give it to linkspan install, or sign with it: linkspan identity leaf --issuer.';
  process.stderr.write(`imported as ${kind === 'anchor' ? 'a trust anchor' : 'an issuer'}. ${next}\n`);
  if (leftOut.length > 0) process.stderr.write(`left out: ${leftOut.join('; ')}\n`);
}

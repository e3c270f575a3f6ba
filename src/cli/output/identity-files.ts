import { systemClock } from '../../base/clock.ts';
import type { PemFile } from '../../identity/authority/pem-files.ts';

/** Writes the files, and prints their paths and a description of the certificate in the last one. */
export async function writeFiles(
  flags: { out: string; force: boolean },
  files: readonly PemFile[],
): Promise<void> {
  const { writePemFiles } = await import('../../identity/authority/pem-files.ts');
  const { describeCertificates } = await import('../../identity/x509/describe.ts');
  const paths = await writePemFiles(flags.out, files, { force: flags.force });
  process.stdout.write(`wrote ${paths.join(', ')}\n`);
  const own = files.at(-1);
  const where = paths.at(-1);
  if (own === undefined || where === undefined) return;
  process.stdout.write(`${describeCertificates(own.text, where, systemClock.now())}\n`);
}

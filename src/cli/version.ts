import { readFileSync } from 'node:fs';
import { Command } from 'commander';

/** Version of this Linkspan, from its package.json. */
export function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return (manifest as { version: string }).version;
}

/** `linkspan version` */
export function versionCommand(): Command {
  return new Command('version').description('print the version').action(() => {
    process.stdout.write(`linkspan ${readVersion()}\n`);
  });
}

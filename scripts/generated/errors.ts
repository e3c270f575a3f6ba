/** docs/reference/errors.md, from the catalogue. */
import { catalogue } from '../../src/api/errors/error-catalogue.ts';

/** The whole reference page. */
export function errorsPage(): string {
  const rows = Object.entries(catalogue)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, { meaning, fix }]) => `## ${code}\n\n${meaning}\n\n**What to do:** ${fix}\n`);
  return (
    '# Error codes\n\n' +
    'Every message of Linkspan carries one of these codes: in the terminal as `[CODE]`, in the log as `err.code`. ' +
    'Codes are never renamed. This page is written by `npm run generate`.\n\n' +
    rows.join('\n')
  );
}

/**
 * Every error code of the product: what it means and what to do. Codes are API: they appear in messages, logs and docs,
 * are never renamed, and a retired code is never used again. `test/unit/base/error-catalogue.test.ts` compares this
 * table with `docs/reference/errors.md` in both directions.
 *
 * One folder's codes stand together; keep them sorted inside their block.
 */
export interface CatalogueEntry {
  /** What happened, for the reference page. */
  readonly meaning: string;
  /** What the reader should do, one sentence, imperative. */
  readonly fix: string;
}

const entry = (meaning: string, fix: string): CatalogueEntry => ({ meaning, fix });

export const catalogue = {
  // base and cli
  CONFIG_INVALID: entry(
    'A flag, environment variable or configuration file has a wrong or unknown value.',
    'Correct the named setting; `linkspan <verb> --help` lists them.',
  ),
  NODE_START_FAILED: entry(
    'The Node 26 that the project brings could not be started.',
    'Run `npm ci` again.',
  ),
  NODE_TOO_OLD: entry(
    'The Node that started Linkspan is older than 26 and no own Node is installed.',
    'Run `npm ci`, which brings Node 26, or install Node 26.',
  ),
  PORT_IN_USE: entry(
    'An address that the process should listen on is taken or cannot be bound.',
    'Stop the other process or choose another address.',
  ),
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;

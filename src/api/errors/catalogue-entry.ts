/** What is said of an error code. */
export interface CatalogueEntry {
  /** What happened, for the reference page. */
  readonly meaning: string;
  /** What the reader should do, one sentence, imperative. */
  readonly fix: string;
}

/** One entry of the catalogue. */
export const entry = (meaning: string, fix: string): CatalogueEntry => ({ meaning, fix });

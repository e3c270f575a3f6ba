import { messageOf } from '../../src/api/errors/linkspan-error.ts';
import { reportContainedTo } from '../../src/base/isolation.ts';

/** One mistake that was contained, as the last resort of a process hears of it. */
export interface Surfaced {
  readonly message: string;
  readonly what: string;
  readonly [field: string]: string;
}

/** While a suite's test runs, mistakes that are contained come here and do not fail it. */
export function useSurfaced(): readonly Surfaced[] {
  const found: Surfaced[] = [];
  let restore: () => void = () => undefined;
  beforeEach(() => {
    found.length = 0;
    restore = reportContainedTo((error, fields) =>
      found.push({ message: messageOf(error), what: '', ...fields }),
    );
  });
  afterEach(() => restore());
  return found;
}

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import Mocha from 'mocha';
import { END_OF_PIECE } from '../../scripts/testing/pieces.ts';

/** What one mocha process counted; written as JSON to the file of the reporter option `summary`. */
export interface TestSummary {
  readonly passed: number;
  readonly failed: number;
  /**
   * How long each file took, hooks included, milliseconds; keys are paths from the root of the repository.
   */
  readonly files: Readonly<Record<string, number>>;
}

/**
 * Mocha's usual output, or a dot for each test (option `terse`), and the counts in a file (option `summary`):
 * `scripts/test.ts` adds them up instead of reading them from the output. With the option `pieces`, every
 * suite's output ends with a mark. Mocha calls it with `new`.
 */
function countingReporter(runner: Mocha.Runner, options: Mocha.MochaOptions): void {
  const { summary, pieces, terse } = options.reporterOptions as {
    readonly summary: string;
    readonly pieces?: string;
    readonly terse?: string;
  };
  const { Dot, Spec } = Mocha.reporters;
  const { stats } = terse === undefined ? new Spec(runner, options) : new Dot(runner, options);
  const files = timed(runner);
  if (pieces !== undefined)
    runner.on('suite end', (suite) => {
      if (suite.parent?.root === true) process.stdout.write(END_OF_PIECE);
    });
  runner.once('end', () => {
    const { passes: passed, failures: failed } = stats;
    const counted: TestSummary = { passed, failed, files: Object.fromEntries(files) };
    writeFileSync(summary, JSON.stringify(counted));
    setTimeout(sayWhatIsOpen, 10_000).unref();
  });
}

/** Fills what it returns while the tests run: suites at the top of a file run one after another. */
function timed(runner: Mocha.Runner): Map<string, number> {
  const files = new Map<string, number>();
  let start = 0;
  runner.on('suite', (suite) => {
    if (suite.parent?.root === true) start = performance.now();
  });
  runner.on('suite end', (suite) => {
    if (suite.parent?.root !== true || suite.file === undefined) return;
    const file = path.relative(process.cwd(), suite.file).split(path.sep).join('/');
    files.set(file, (files.get(file) ?? 0) + Math.round(performance.now() - start));
  });
  return files;
}

/**
 * A process that does not end after its last test is ended by `scripts/test.ts`; what held it is gone then.
 */
function sayWhatIsOpen(): void {
  process.stdout.write(`still open: ${process.getActiveResourcesInfo().join(', ')}\n`);
  const { _getActiveHandles: handles } = process as unknown as { _getActiveHandles?: () => object[] };
  for (const handle of handles?.() ?? []) {
    const { remotePort, localPort, spawnargs } = handle as Record<string, unknown>;
    process.stdout.write(
      `  ${handle.constructor.name} ${JSON.stringify({ localPort, remotePort, spawnargs })}\n`,
    );
  }
}

// Mocha loads reporters with require(), which hands out this export as the module.
export { countingReporter as 'module.exports' };

import { writeFileSync } from 'node:fs';
import Mocha from 'mocha';

/** What one mocha process counted; written as JSON to the file of the reporter option `summary`. */
export interface TestSummary {
  readonly passed: number;
  readonly failed: number;
}

/** Mocha's usual output, and the counts in a file: `scripts/test.ts` adds them up instead of reading them from the output. */
class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const { summary } = options.reporterOptions as { readonly summary: string };
    runner.once('end', () => {
      const counted: TestSummary = { passed: this.stats.passes, failed: this.stats.failures };
      writeFileSync(summary, JSON.stringify(counted));
      setTimeout(sayWhatIsOpen, 10_000).unref();
    });
  }
}

/** A process that does not end after its last test is ended by `scripts/test.ts`; what held it is gone then. */
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
export { CountingReporter as 'module.exports' };

/** What can go wrong before a test even starts. These codes are the testbed's own: the product's catalogue does not hold them. */
export type TestbedErrorCode =
  /** A binary is neither given nor cached, and there is no Go to build it. */
  | 'TESTBED_NO_BINARIES'
  /** Go is there, and the build failed. */
  | 'TESTBED_BUILD_FAILED'
  /** A control plane did not become ready, or one of its processes ended. */
  | 'TESTBED_BOOT_FAILED'
  /** This machine refuses a network namespace of our own, or it could not be set up. */
  | 'TESTBED_NETNS_REFUSED'
  /** `address(n)` outside the namespace, or beyond what lies on lo. */
  | 'TESTBED_NO_ADDRESS';

/** A coded error that says what to do. The message is one block for people: `[CODE] what. what to do.` */
export class TestbedError extends Error {
  override readonly name = 'TestbedError';
  readonly code: TestbedErrorCode;

  constructor(code: TestbedErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(`[${code}] ${message}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
  }
}

/** Runs a script's `main` so that a testbed error is one clear message and exit code 1 instead of a stack trace. */
export async function orExplain(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof TestbedError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}

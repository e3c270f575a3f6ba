/**
 * What can go wrong before a test even starts. These codes are the testbed's own: the product's catalogue
 * does not hold them.
 */
export type TestbedErrorCode =
  /** A binary is neither given nor cached, and there is no way to get it: no Go, or no Go and no way out. */
  | 'TESTBED_NO_BINARIES'
  /** Something asked for a binary where nothing is fetched or built, and nobody had prepared it. */
  | 'TESTBED_NOT_PREPARED'
  /** Go is there, and the build failed. */
  | 'TESTBED_BUILD_FAILED'
  /** Go is there, and the module proxy does not hand out what the build needs. */
  | 'TESTBED_NO_MODULE'
  /** No answer, a refusal, or a body that was cut each time. */
  | 'TESTBED_DOWNLOAD_FAILED'
  /** What came is not what was published. */
  | 'TESTBED_WRONG_SUM'
  /** The cache's folder cannot be written: no right to, or no room left. */
  | 'TESTBED_CACHE_UNUSABLE'
  /** With `--require-all`: tests would have been left out. */
  | 'TESTBED_LEFT_OUT'
  /** An argument of the commands that prepare the testbed. */
  | 'TESTBED_BAD_FLAG'
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

/**
 * Whether the file system said it: no right, no room, not a folder. What the network says comes as fetch's
 * own errors.
 */
export function isFileError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}

/**
 * Runs a script's `main` so that a testbed error is one clear message and exit code 1 instead of a stack
 * trace.
 */
export async function orExplain(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof TestbedError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}

import { reportContainedTo } from '../base/isolation.ts';
import { Exposition, type MetricFamily } from './exposition.ts';
import { InternalErrorLog, type InternalErrorLogOptions } from './internal-error-log.ts';
import type { Registry } from './registry.ts';

/** Numbers of internal errors outside of flows. */
export interface ProcessErrors {
  /** Exceptions that nothing caught. */
  readonly exceptions: number;
  /** Rejections of promises that nothing handled. */
  readonly rejections: number;
  /** Errors that were contained where they happened (`base/isolation.ts`). */
  readonly contained: number;
}

export const NO_PROCESS_ERRORS: ProcessErrors = { exceptions: 0, rejections: 0, contained: 0 };

/** Their metric; `docs/reference/metrics.md` lists it too. */
export const processErrorsFamily = {
  name: 'linkspan_process_errors_total',
  type: 'counter',
  labels: ['kind'],
  help: 'Mistakes outside of flows: exceptions and rejections that nobody caught, and contained ones; the process goes on.',
} as const satisfies MetricFamily;

/** The part of `process` that is used here, for tests. */
export interface HostProcess {
  on(event: 'uncaughtException' | 'unhandledRejection', listener: (error: unknown) => void): unknown;
  exit(code: number): unknown;
}

/**
 * The last resort of a serving process: exceptions that its parts did not catch are counted and logged with
 * their stack. Peers are told nothing.
 *
 * After `surviveUncaught` such an exception does not end the process, so that no peer can crash it, again and
 * again, with all its flows (ADR 0033). Before that, while the process gets what it starts with (flags,
 * files, its own certificate), it ends with exit code 1, so that Kubernetes starts it again instead of
 * leaving a half-started process.
 */
export class LastResort {
  readonly #log: InternalErrorLog;
  readonly #counts = { exceptions: 0, rejections: 0, contained: 0 };
  #survives = false;

  /** @param host default: this process */
  constructor(options: InternalErrorLogOptions, host: HostProcess = process) {
    this.#log = new InternalErrorLog(options);
    host.on('uncaughtException', (error) => {
      this.#counts.exceptions++;
      this.#caught(error, 'exception', host);
    });
    host.on('unhandledRejection', (error) => {
      this.#counts.rejections++;
      this.#caught(error, 'rejection', host);
    });
    reportContainedTo((error, fields) => {
      this.#counts.contained++;
      this.#log.say(error, 'an error was contained, the rest goes on', { kind: 'contained', ...fields });
    });
  }

  get counts(): ProcessErrors {
    return { ...this.#counts };
  }

  /**
   * From now on the process survives uncaught exceptions. To be called before it opens a port or watches
   * anything: before the first input of others is read.
   */
  surviveUncaught(): void {
    this.#survives = true;
  }

  #caught(error: unknown, kind: 'exception' | 'rejection', host: HostProcess): void {
    if (this.#survives) {
      this.#log.say(error, 'nobody caught an error, the process goes on', { kind });
      return;
    }
    this.#log.say(error, 'nobody caught an error, the process ends', { kind });
    host.exit(1);
  }
}

/** Publishes the counts of this process alone. */
export function publishProcessErrors(registry: Registry, lastResort: LastResort): void {
  registry.addText(() => {
    const out = new Exposition();
    writeProcessErrors(out, lastResort.counts);
    return out.pieces();
  });
}

export function writeProcessErrors(
  out: Exposition,
  { exceptions, rejections, contained }: ProcessErrors,
): void {
  out.write(processErrorsFamily, [
    [{ kind: 'exception' }, exceptions],
    [{ kind: 'rejection' }, rejections],
    [{ kind: 'contained' }, contained],
  ]);
}

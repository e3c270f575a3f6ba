import { surfaceTo } from '../base/isolation.ts';
import { Exposition, type MetricFamily } from './exposition.ts';
import { InternalErrorLog, type InternalErrorLogOptions } from './internal-error-log.ts';
import type { Registry } from './registry.ts';

/** Mistakes of ours outside of flows. */
export interface ProcessErrors {
  /** That no part of the process caught. */
  readonly exceptions: number;
  /** Of promises that nobody waited for. */
  readonly rejections: number;
  /** That were contained where they happened (`base/isolation.ts`). */
  readonly contained: number;
}

export const NO_PROCESS_ERRORS: ProcessErrors = { exceptions: 0, rejections: 0, contained: 0 };

/** What a process says of it; `docs/reference/metrics.md` lists the same. */
export const processErrorsFamily = {
  name: 'linkspan_process_errors_total',
  type: 'counter',
  labels: ['kind'],
  help: 'Mistakes outside of flows: exceptions and rejections that nobody caught, and contained ones; the process goes on.',
} as const satisfies MetricFamily;

/** What of a process is needed here. */
export interface HostProcess {
  on(event: 'uncaughtException' | 'unhandledRejection', listener: (error: unknown) => void): unknown;
  exit(code: number): unknown;
}

/**
 * The last resort of a process that serves: what its parts did not catch ends up here, is counted, and stands
 * in the log with its stack. Nobody outside is told anything.
 *
 * From `goOn` on the process does not end by it, so that nobody who can reach the process can end it, or have
 * it end again and again, with all that it carries (ADR 0033). Before, while it reads nothing but its own
 * flags and files, it ends with exit code 1: Kubernetes starts it again, which a start that came to a halt
 * would prevent.
 */
export class LastResort {
  readonly #log: InternalErrorLog;
  readonly #counts = { exceptions: 0, rejections: 0, contained: 0 };
  #goesOn = false;

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
    surfaceTo((error, fields) => {
      this.#counts.contained++;
      this.#log.say(error, 'an error was contained, the rest goes on', { kind: 'contained', ...fields });
    });
  }

  get counts(): ProcessErrors {
    return { ...this.#counts };
  }

  /** To be called before anything is read that somebody else says: from here on the process goes on. */
  goOn(): void {
    this.#goesOn = true;
  }

  #caught(error: unknown, kind: 'exception' | 'rejection', host: HostProcess): void {
    if (this.#goesOn) {
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
    return out.text;
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

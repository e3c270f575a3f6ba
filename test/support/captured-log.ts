import { createLogger, type Logger } from '../../src/telemetry/log.ts';

/** One line of the log, parsed. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly err?: { readonly code?: string; readonly message?: string };
  readonly [field: string]: unknown;
}

/** A logger whose lines a test can look at. */
export function captureLog(): { log: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as LogLine) };
  return { log: createLogger({ level: 'debug', name: 'test', destination }), lines };
}

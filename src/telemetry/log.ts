import { pino, type Logger as PinoLogger } from 'pino';
import { codeOf, LinkspanError, messageOf } from '../api/errors/linkspan-error.ts';
import { visibleJson } from '../base/text.ts';
import type { LogLevel } from './admin-pages.ts';

/**
 * Structured log. The message is a constant; everything that varies is a field. One line per decision that
 * changes the world. Levels in use: error, warn, info, debug.
 */
export type Logger = PinoLogger;

export interface LogOptions {
  /** error, warn, info, debug; default info. */
  level: string;
  /** Process name: controller, gateway, egress. */
  name: string;
  /** Where lines go; default standard output, as the one stream that `kubectl logs` and pipes see. */
  destination?: { write(line: string): void };
}

/**
 * A JSON logger. Its field `err` has code, hint and cause of Linkspan errors, and a stack only for errors
 * without a code.
 */
export function createLogger(options: LogOptions): Logger {
  const settings = {
    level: options.level,
    base: { process: options.name },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: errorFields },
  };
  const out = options.destination ?? pino.destination(1);
  // Errors have what peers have sent, and people read logs on terminals.
  return pino(settings, { write: (line) => out.write(visibleJson(line)) });
}

/** The levels of a log, from least to most verbose. */
export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;

/** Reads and sets a logger's level while the process runs; `onSet` is called with a new one. */
export function levelOf(log: Logger, onSet: (level: string) => void = () => undefined): LogLevel {
  return {
    get: () => log.level,
    set: (level) => {
      if (!(LOG_LEVELS as readonly string[]).includes(level))
        return `"${level}" is none of ${LOG_LEVELS.join(', ')}`;
      log.level = level;
      log.info({ level }, 'log level set');
      onSet(level);
      return undefined;
    },
  };
}

/** Longest text of an error, and longest stack, in characters: both may hold what a peer sent. */
const MAX_MESSAGE = 4096;
const MAX_STACK = 8192;

/**
 * The log fields of an error: message, code, hint and facts; the stack only for errors without a code. Long
 * texts are cut to `MAX_MESSAGE`.
 */
export function errorFields(error: unknown): Record<string, unknown> {
  const message = cut(messageOf(error), MAX_MESSAGE);
  if (error instanceof LinkspanError) return { code: error.code, message, hint: error.hint, ...error.fields };
  const stack = error instanceof Error && codeOf(error) === undefined ? error.stack : undefined;
  return { message, ...(stack === undefined ? {} : { stack: cut(stack, MAX_STACK) }) };
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)} … (${text.length} characters)`;
}

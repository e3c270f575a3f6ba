import { systemClock } from '../base/clock.ts';
import type { AccessLog } from '../proxy/downstream/access-log.ts';
import { type AccessLogMode, createAccessLog } from '../proxy/downstream/access-log-lines.ts';
import { LineWriter } from '../telemetry/line-writer.ts';

/** The flags about the access log. */
export interface AccessLogSettings {
  readonly accessLog: AccessLogMode;
  readonly accessLogQuery: boolean;
}

/** The access log of a process on its standard output, and the lines that are on their way. */
export function openAccessLog(
  process: 'gateway' | 'egress',
  settings: AccessLogSettings,
): { readonly accessLog: AccessLog; readonly lines: LineWriter } {
  const lines = new LineWriter(systemClock);
  const accessLog = createAccessLog({
    process,
    mode: settings.accessLog,
    query: settings.accessLogQuery,
    write: (line) => lines.write(line),
    clock: systemClock,
    random: Math.random,
  });
  return { accessLog, lines };
}

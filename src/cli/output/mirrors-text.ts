import type { LinkReport } from '../../api/answers/admin-answers.ts';
import { age, table } from './output.ts';

/** The table of mirrors, and a line for each Link whose mirrors are not known. */
export function mirrorsText(reports: readonly LinkReport[]): string {
  const rows = reports.flatMap((report) =>
    [...(report.mirrors ?? []), ...(report.federated ?? [])].map((mirror) => {
      const [namespace = '', service = ''] = mirror.service.split('/');
      const why = mirror.message === '' ? mirror.reason : `${mirror.reason}: ${mirror.message}`;
      return [namespace, mirror.local, report.cluster, service, mirror.mode, String(mirror.endpoints), why];
    }),
  );
  const head = ['NAMESPACE', 'NAME', 'CLUSTER', 'SERVICE', 'MODE', 'ENDPOINTS', 'REASON'];
  const body = rows.length === 0 ? 'Nothing is exported to this cluster.\n' : table(head, rows);
  return body + reports.flatMap(linkTrouble).join('');
}

function linkTrouble(report: LinkReport): string[] {
  const { link, problem, apiError, lastWordSeconds, mirrors, unwritten = [] } = report;
  const lines = unwritten.map((what) => `Link ${link}: what is known could not be written: ${what}\n`);
  if (problem !== undefined) return [`Link ${link} does not run: ${problem}\n`, ...lines];
  if (mirrors === undefined) return [`Link ${link}: the replica that keeps it did not answer\n`];
  if (apiError === undefined) return lines;
  const heard = lastWordSeconds === undefined ? 'never' : `${age(lastWordSeconds)} ago`;
  const silence = `the target's API server does not answer, last heard of ${heard}: ${apiError}`;
  return [`Link ${link}: ${silence}\n`, ...lines];
}

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
  const body = rows.length === 0 ? noneText(reports) : table(head, rows);
  return body + reports.flatMap(linkTrouble).join('');
}

/** That nothing is exported is known only when every target has been listed. */
function noneText(reports: readonly LinkReport[]): string {
  const known = reports.every(({ mirrors, synced }) => mirrors !== undefined && synced !== false);
  return known
    ? 'Nothing is exported to this cluster.\n'
    : 'What is exported to this cluster is not known.\n';
}

/** Everything that keeps the table from telling the whole of a Link, one line each. */
function linkTrouble(report: LinkReport): string[] {
  const { problem, apiError, overBudget, lastWordSeconds, mirrors, synced, unwritten = [] } = report;
  const heard = lastWordSeconds === undefined ? 'never' : `${age(lastWordSeconds)} ago`;
  const lines: string[] = [];
  if (problem === undefined && mirrors === undefined)
    lines.push(': the replica that keeps it did not answer');
  if (problem !== undefined) lines.push(` does not run: ${problem}`);
  if (overBudget !== undefined) lines.push(`: it is parked, over its budget: ${overBudget}`);
  if (apiError !== undefined)
    lines.push(`: the target's API server does not answer, last heard of ${heard}: ${apiError}`);
  if (mirrors !== undefined && synced === false)
    lines.push(': the first complete list of its exports has not arrived');
  lines.push(...unwritten.map((what) => `: what is known could not be written: ${what}`));
  return lines.map((line) => `Link ${report.link}${line}\n`);
}

import type { DrilledService, DrillReport } from '../../drains/drill-report.ts';
import { table } from './output.ts';

/** The report of a drill for people. */
export function drillText(report: DrillReport): string {
  const { cluster, kind, verdict, reasons, seconds, services, capacityShort, silentPods } = report;
  const head = ['SERVICE', 'SERVED BY', 'FAILED', 'MOVED', 'FIRST SUCCESS', 'STEADY', 'P99 BEFORE', 'P99'];
  const short = Object.entries(capacityShort).map(
    ([service, ratio]) => `CapacityShort: ${service}, ${Math.floor(ratio * 100)}% of what is asked\n`,
  );
  return [
    `Drill "${kind}" of ${cluster}, ${seconds.toFixed(0)}s: ${verdict}\n`,
    ...reasons.map((reason) => `  ${reason}\n`),
    '\n',
    table(head, services.map(cells)),
    ...(short.length === 0 ? [] : ['\n', ...short]),
    ...(silentPods.length === 0 ? [] : ['\n', ...silentPods.map((pod) => `no answer from ${pod}\n`)]),
  ].join('');
}

function cells(one: DrilledService): string[] {
  const served = Object.entries(one.served).map(([name, count]) => `${name} ${count}`);
  return [
    one.service,
    served.length === 0 ? '-' : served.join(', '),
    String(one.failed),
    String(one.moved),
    one.firstSuccessSeconds === null ? '-' : `${one.firstSuccessSeconds.toFixed(1)}s`,
    one.steadySeconds === null ? 'never' : `${one.steadySeconds.toFixed(1)}s`,
    one.p99Before === null ? '-' : `${one.p99Before}ms`,
    one.p99During === null ? '-' : `${one.p99During}ms`,
  ];
}

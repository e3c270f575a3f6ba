/** All boards of the chart: `charts/linkspan/dashboards/`. */
import { boardJson } from './grafana.ts';
import { linkBoard } from './link-board.ts';
import { overviewBoard } from './overview-board.ts';
import { processesBoard } from './processes-board.ts';
import { serviceBoard } from './service-board.ts';

export const BOARDS = [overviewBoard, linkBoard, serviceBoard, processesBoard] as const;

/** Each board's file, by its name in the chart's folder. */
export function boardFiles(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    BOARDS.map((board) => [`${board.uid}.json`, `${JSON.stringify(boardJson(board), null, 2)}\n`]),
  );
}

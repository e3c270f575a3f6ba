import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { CHARTS } from './chart.ts';

/** A query of a panel. */
export interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly legendFormat: string;
  readonly datasource: { readonly type: string; readonly uid: string };
}

/** A panel, as Grafana reads it. */
export interface BoardPanel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
}

/** A variable, as Grafana reads it. */
export interface BoardVariable {
  readonly name: string;
  readonly type: string;
  readonly definition?: string;
  readonly query: string | { readonly query: string };
}

/** A board of the chart, as Grafana reads it. */
export interface BoardFile {
  readonly uid: string;
  readonly title: string;
  readonly tags: readonly string[];
  readonly schemaVersion: number;
  readonly templating: { readonly list: readonly BoardVariable[] };
  readonly panels: readonly BoardPanel[];
}

const FOLDER = path.join(CHARTS, 'linkspan/dashboards');

/** All boards of the chart, by file. */
export const boards: ReadonlyMap<string, BoardFile> = new Map(
  readdirSync(FOLDER).map((file) => [
    file,
    JSON.parse(readFileSync(path.join(FOLDER, file), 'utf8')) as BoardFile,
  ]),
);

/** Every expression of a board's panels, with where it stands. */
export function expressionsOf({
  title,
  panels,
}: BoardFile): { readonly at: string; readonly expr: string }[] {
  return panels.flatMap((panel) =>
    (panel.targets ?? []).map(({ refId, expr }) => ({ at: `${title}: ${panel.title} ${refId}`, expr })),
  );
}

/** What the variables of a board ask for, as expressions. */
export function variablesOf({
  title,
  templating,
}: BoardFile): { readonly at: string; readonly expr: string }[] {
  return templating.list.flatMap(({ name, definition }) => {
    if (definition === undefined) return [];
    const [, series, label] = /^label_values\((.+), (\w+)\)$/.exec(definition) ?? [];
    const [, result] = /^query_result\((.+)\)$/.exec(definition) ?? [];
    // Nobody has the external label of a store of several clusters here.
    const expr =
      label === 'cluster' ? series : label === undefined ? result : `group by (${label}) (${series})`;
    if (expr === undefined) throw new Error(`${title}: nobody knows how to ask for ${name}: ${definition}`);
    return [{ at: `${title}: variable ${name}`, expr }];
  });
}

/**
 * Boards for Grafana, as plain objects in the classic schema, which Grafana 10, 11 and 12 load: only panels
 * that are there without a plugin, and none of the old ones that needed Angular.
 */

/** What 10.0 knows; later ones migrate it. */
const SCHEMA_VERSION = 38;
const COLUMNS = 24;
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

/** One query of a panel. */
export interface Query {
  readonly expr: string;
  /** Of each series, such as `{{pod}}`; in tables the column of the value. */
  readonly legend?: string;
}

/** Units as Grafana calls them. */
export type Unit =
  | 'percentunit'
  | 'reqps'
  | 'ops'
  | 'cps'
  | 'ms'
  | 's'
  | 'bytes'
  | 'Bps'
  | 'short'
  | 'bool_yes_no';

interface PanelBase {
  readonly title: string;
  /** What it shows, and what to look for. */
  readonly description?: string;
  readonly unit: Unit;
  readonly queries: readonly Query[];
  /** Of 24; default 8, of a stat 4. */
  readonly width?: number;
  /** Values from which it is amber, then red; falling where the second is smaller. */
  readonly limits?: readonly [amber: number, red: number];
  readonly max?: number;
}

export type Panel = PanelBase &
  (
    | { readonly type: 'timeseries'; readonly stacked?: boolean }
    | { readonly type: 'stat' }
    /** Of one query: a row for each series. The columns, by label. */
    | { readonly type: 'table'; readonly columns: Readonly<Record<string, string>> }
  );

/** A variable that people choose values of. */
export interface Variable {
  readonly name: string;
  readonly label: string;
  /** As Grafana's Prometheus data source has them: `label_values(…)`. */
  readonly query: string;
  /** Which part of each result is the value; default: all of it. */
  readonly regex?: string;
  /** Whether one value has to be chosen; default: several, and all at first. */
  readonly single?: boolean;
}

export interface Board {
  /** Stable: links lead to it. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly variables: readonly Variable[];
  readonly rows: readonly { readonly title: string; readonly panels: readonly Panel[] }[];
}

const HEIGHTS = { timeseries: 8, stat: 4, table: 8, row: 1 } as const;
const WIDTHS = { timeseries: 8, stat: 4, table: 12 } as const;

/** The board as Grafana reads it. */
export function boardJson(board: Board): object {
  return {
    id: null,
    uid: board.uid,
    title: board.title,
    description: board.description,
    tags: ['linkspan'],
    schemaVersion: SCHEMA_VERSION,
    version: 1,
    editable: true,
    graphTooltip: 1,
    timezone: 'browser',
    refresh: '30s',
    time: { from: 'now-1h', to: 'now' },
    annotations: { list: [] },
    links: [
      {
        type: 'dashboards',
        title: 'Linkspan',
        tags: ['linkspan'],
        asDropdown: false,
        includeVars: true,
        keepTime: true,
        targetBlank: false,
      },
    ],
    templating: { list: [datasourceVariable(), ...board.variables.map(variableJson)] },
    panels: laidOut(board),
  };
}

function datasourceVariable(): object {
  return {
    name: 'datasource',
    label: 'Data source',
    type: 'datasource',
    query: 'prometheus',
    regex: '',
    refresh: 1,
    hide: 0,
    includeAll: false,
    multi: false,
    options: [],
    current: {},
  };
}

function variableJson({ name, label, query, regex = '', single = false }: Variable): object {
  return {
    name,
    label,
    type: 'query',
    datasource: DATASOURCE,
    definition: query,
    query: { query, refId: 'StandardVariableQuery' },
    regex,
    // With the time range: what was there then.
    refresh: 2,
    sort: 1,
    hide: 0,
    multi: !single,
    includeAll: !single,
    // Series without the label too: an external label is not there where it is scraped.
    ...(single ? {} : { allValue: '.*' }),
    options: [],
    current: single ? {} : { selected: true, text: ['All'], value: ['$__all'] },
  };
}

/** Rows one below the other, panels from left to right in each. */
function laidOut({ rows }: Board): object[] {
  const placed: object[] = [];
  let id = 0;
  let y = 0;
  for (const { title, panels } of rows) {
    placed.push({
      id: ++id,
      type: 'row',
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: COLUMNS, h: HEIGHTS.row },
    });
    y += HEIGHTS.row;
    let x = 0;
    let lowest = 0;
    for (const panel of panels) {
      const [w, h] = [panel.width ?? WIDTHS[panel.type], HEIGHTS[panel.type]];
      if (x + w > COLUMNS) [x, y, lowest] = [0, y + lowest, 0];
      placed.push({ id: ++id, gridPos: { x, y, w, h }, ...panelJson(panel) });
      x += w;
      lowest = Math.max(lowest, h);
    }
    y += lowest;
  }
  return placed;
}

function panelJson(panel: Panel): object {
  const { title, description, type, unit, max, limits } = panel;
  return {
    type,
    title,
    ...(description === undefined ? {} : { description }),
    datasource: DATASOURCE,
    fieldConfig: {
      defaults: {
        unit,
        ...(max === undefined ? {} : { max }),
        min: 0,
        ...(type === 'timeseries' ? { custom: lines(panel.stacked === true) } : {}),
        ...(type === 'table' && limits !== undefined
          ? { custom: { cellOptions: { type: 'color-text' } } }
          : {}),
        color: { mode: type === 'timeseries' ? 'palette-classic' : 'thresholds' },
        thresholds: thresholds(limits),
      },
      overrides: [],
    },
    options: optionsOf(panel),
    targets: panel.queries.map((query, index) => targetJson(panel, query, index)),
    ...(panel.type === 'table' ? { transformations: transformations(panel.columns, panel.queries) } : {}),
  };
}

function targetJson({ type }: Panel, { expr, legend }: Query, index: number): object {
  const instant = type === 'table';
  return {
    refId: String.fromCharCode(65 + index),
    datasource: DATASOURCE,
    editorMode: 'code',
    expr,
    legendFormat: instant ? '' : (legend ?? ''),
    instant,
    range: !instant,
    ...(instant ? { format: 'table' } : {}),
  };
}

function lines(stacked: boolean): object {
  return {
    drawStyle: 'line',
    lineInterpolation: 'linear',
    lineWidth: 1,
    fillOpacity: stacked ? 30 : 5,
    showPoints: 'never',
    spanNulls: false,
    stacking: { group: 'A', mode: stacked ? 'normal' : 'none' },
  };
}

function thresholds(limits: PanelBase['limits']): object {
  if (limits === undefined) return { mode: 'absolute', steps: [{ color: 'text', value: null }] };
  const [amber, red] = limits;
  const steps =
    red > amber
      ? [
          { color: 'green', value: null },
          { color: 'orange', value: amber },
          { color: 'red', value: red },
        ]
      : [
          { color: 'red', value: null },
          { color: 'orange', value: red },
          { color: 'green', value: amber },
        ];
  return { mode: 'absolute', steps };
}

function optionsOf({ type }: Panel): object {
  if (type === 'table') return { showHeader: true, cellHeight: 'sm' };
  if (type === 'stat')
    return {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      colorMode: 'value',
      graphMode: 'area',
      textMode: 'auto',
      justifyMode: 'auto',
      orientation: 'auto',
    };
  return {
    legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] },
    tooltip: { mode: 'multi', sort: 'desc' },
  };
}

/** One row for each set of labels, the labels first, in the order of the columns. */
function transformations(columns: Readonly<Record<string, string>>, [query]: readonly Query[]): object[] {
  const names = { ...columns, Value: query?.legend ?? 'Value' };
  return [
    {
      id: 'organize',
      options: {
        excludeByName: { Time: true },
        indexByName: Object.fromEntries(Object.keys(names).map((name, index) => [name, index])),
        renameByName: names,
      },
    },
  ];
}

import type {
  FlowStats,
  GatewayStats,
  RouteStats,
  StatsReport,
  TargetStats,
} from '../../../api/answers/stats-report.ts';
import type { Turns } from '../../../telemetry/pieces.ts';
import type { PackedRows } from './packed-rows.ts';
import { FLOW_ROWS, GATEWAY_ROWS, ROUTE_ROWS, type RowShape, TARGET_ROWS } from './row-shapes.ts';
import { fitted, together } from './row-table.ts';

/** Kinds of rows of a report. */
export interface Rows {
  targets: TargetStats;
  flows: FlowStats;
  gateways: GatewayStats;
  routes: RouteStats;
}
export type Kind = keyof Rows;
export type ByKind<T> = Readonly<Record<Kind, T>>;

export const SHAPES: { readonly [K in Kind]: RowShape<Rows[K]> } = {
  targets: TARGET_ROWS,
  flows: FLOW_ROWS,
  gateways: GATEWAY_ROWS,
  routes: ROUTE_ROWS,
};

/** The rows of a report. */
export type Tables = { readonly [K in Kind]: readonly Rows[K][] };

export function tablesOf({ targets, flows, gateways, routes = [] }: StatsReport): Tables {
  return { targets, flows, gateways, routes };
}

/** What was counted between two moments, of rows that have counted anything. */
export interface Step {
  /** Numbers grow; a long step has that of the last one that it is made of. */
  readonly number: number;
  /** Monotonic milliseconds. */
  readonly from: number;
  readonly to: number;
  /** When it ended, milliseconds since the epoch. */
  readonly at: number;
  readonly rows: ByKind<PackedRows>;
}

/** The same for each kind, one after the other. */
export async function byKind<T>(
  make: <K extends Kind>(kind: K, shape: RowShape<Rows[K]>) => T | Promise<T>,
): Promise<ByKind<T>> {
  return {
    targets: await make('targets', SHAPES.targets),
    flows: await make('flows', SHAPES.flows),
    gateways: await make('gateways', SHAPES.gateways),
    routes: await make('routes', SHAPES.routes),
  };
}

/** Bytes that a step takes. */
export function stepSize({ rows: { targets, flows, gateways, routes } }: Step): number {
  return targets.size + flows.size + gateways.size + routes.size;
}

/** Several steps as one; at least one of them. */
export async function longStep(steps: readonly Step[], turns: Turns): Promise<Step | undefined> {
  const [first, last] = [steps[0], steps.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const all = (kind: Kind) => steps.map(({ rows }) => rows[kind]);
  return { ...last, from: first.from, rows: await byKind((kind) => together(all(kind), turns)) };
}

/** The step with its busiest rows alone, as many as there is room for; the others go together. */
export async function fittedStep(step: Step, bytes: number, turns: Turns): Promise<Step> {
  const size = stepSize(step);
  if (size <= bytes) return step;
  const rows = await byKind((kind, shape) => {
    const own = step.rows[kind];
    return fitted(own, shape.key(shape.other), (own.size * bytes) / size, turns);
  });
  return { ...step, rows };
}

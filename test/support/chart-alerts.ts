import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { CHARTS } from './chart.ts';

/** A rule of the chart's alerts. */
export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** The chart's alerts, as Prometheus reads rules. */
export const ALERTS_FILE = path.join(CHARTS, 'linkspan/alerts.yaml');
const { groups } = parse(readFileSync(ALERTS_FILE, 'utf8')) as {
  groups: readonly { rules: readonly Alert[] }[];
};
/** All alerts of the chart. */
export const alerts = groups.flatMap(({ rules }) => rules);

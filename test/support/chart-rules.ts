import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { CHARTS } from './chart.ts';

/** An alert of the chart. */
export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A recording rule of the chart. */
export interface Recording {
  readonly record: string;
  readonly expr: string;
}

/** The chart's rules, as Prometheus reads them. */
export const RULES_FILE = path.join(CHARTS, 'linkspan/rules.yaml');
const { groups } = parse(readFileSync(RULES_FILE, 'utf8')) as {
  groups: readonly { rules: readonly (Alert | Recording)[] }[];
};
const rules = groups.flatMap((group) => group.rules);
/** All alerts of the chart. */
export const alerts = rules.filter((rule) => 'alert' in rule);
/** All recording rules of the chart. */
export const recordings = rules.filter((rule) => 'record' in rule);

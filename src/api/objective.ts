import { parseDuration } from '../base/duration.ts';
import { type Annotations, readAnnotation } from './annotations.ts';
import { SLO } from './names.ts';

/** What is expected of a Service's answers. */
export interface Objective {
  /** The part of the requests that must succeed, 0 to 1. */
  readonly success: number;
  /** Times to the first byte that a part of the answers must not exceed. */
  readonly latencies: readonly LatencyObjective[];
}

export interface LatencyObjective {
  /** 0 to 1: 0.99 for p99. */
  readonly quantile: number;
  /** Milliseconds. */
  readonly ms: number;
}

/** What holds of a Service that says nothing, or nothing that can be read. */
export const DEFAULT_OBJECTIVE: Objective = { success: 0.999, latencies: [] };

/** Most parts of one text that are looked at. */
const MAX_PARTS = 8;
const PERCENT = /^\d{1,3}(?:\.\d{1,6})?%$/;
const QUANTILE = /^p\d{1,2}(?:\.\d{1,3})?$/;

/**
 * The objective that a Service, or its mirror, has by annotation (`linkspan.dev/slo`).
 * @returns with what is wrong where the default holds because the text cannot be read
 */
export function readObjective(annotations: Annotations | undefined): {
  readonly objective: Objective;
  readonly problem?: string;
} {
  const text = readAnnotation(annotations, SLO);
  if (text === undefined) return { objective: DEFAULT_OBJECTIVE };
  const objective = parseObjective(text);
  if (objective !== undefined) return { objective };
  const problem = `${SLO}: "${text.slice(0, 64)}" is no objective such as "99.9%, p99<300ms"; 99.9% holds`;
  return { objective: DEFAULT_OBJECTIVE, problem };
}

/**
 * Reads `99.9%`, `p99<300ms`, or several with commas, at most one percentage among them.
 * @returns undefined when it is none of these
 */
export function parseObjective(text: string): Objective | undefined {
  const parts = text.split(',', MAX_PARTS + 1).map((part) => part.trim());
  if (parts.length > MAX_PARTS) return undefined;
  const percentages = parts.filter((part) => part.endsWith('%'));
  const latencies = parts.filter((part) => !part.endsWith('%')).map(latencyOf);
  const success = successOf(percentages);
  if (success === undefined || latencies.some((one) => one === undefined)) return undefined;
  return { success, latencies: latencies.filter((one) => one !== undefined) };
}

function successOf(percentages: readonly string[]): number | undefined {
  const [text, ...more] = percentages;
  if (text === undefined) return DEFAULT_OBJECTIVE.success;
  if (more.length > 0 || !PERCENT.test(text)) return undefined;
  const percent = Number(text.slice(0, -1));
  return percent > 0 && percent <= 100 ? fractionOf(percent) : undefined;
}

function latencyOf(part: string): LatencyObjective | undefined {
  const at = part.indexOf('<');
  const name = part.slice(0, Math.max(0, at)).trim();
  const ms = at < 0 ? undefined : parseDuration(part.slice(at + 1));
  const percent = QUANTILE.test(name) ? Number(name.slice(1)) : 0;
  return ms === undefined || ms === 0 || percent === 0 ? undefined : { quantile: fractionOf(percent), ms };
}

/** 99.9 / 100 is a little more than 0.999, and 999 of 1,000 would be too few. */
function fractionOf(percent: number): number {
  return Number((percent / 100).toPrecision(12));
}

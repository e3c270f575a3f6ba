const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * A duration of so many milliseconds as people write it, in the largest unit that divides it: `24h`, `90s`,
 * `500ms`.
 */
export function formatDuration(ms: number): string {
  const [unit = 'ms', size = 1] =
    (['h', 'm', 's'] as const)
      .map((name) => [name, UNIT_MS[name] ?? 1] as const)
      .find(([, length]) => ms >= length && ms % length === 0) ?? [];
  return `${ms / size}${unit}`;
}

/**
 * Milliseconds of a Go duration (`3s`, `1m30s`, `500ms`) or of a bare number of seconds, as Linkerd's
 * annotations hold them (`mirror.linkerd.io/probe-period: "3"`). Also accepts `d`. Undefined when the text is
 * no duration or is negative.
 */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed) * 1000;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d))+$/.test(trimmed)) return undefined;
  let total = 0;
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)/gy)) {
    total += Number(amount) * (UNIT_MS[unit ?? ''] ?? Number.NaN);
  }
  return total;
}

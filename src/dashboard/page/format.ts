/** Numbers, times and names as the page writes them. Pure. */

/** Nothing was measured. */
export const NONE = '–';

const GROUPED = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

/** With one digit behind the point at most. Of a table's many numbers most are small, and written at once. */
function plain(value: number): string {
  const round = Math.round(value * 10) / 10;
  return Math.abs(round) < 1000 ? String(round) : GROUPED.format(round);
}

function whole(value: number): string {
  return plain(Math.round(value));
}

/** A rate, each second: `0.4`, `12.5`, `340`, `12.4k`. */
export function rate(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  if (value >= 1e6) return `${plain(value / 1e6)}M`;
  if (value >= 1e4) return `${plain(value / 1e3)}k`;
  if (value > 0 && value < 0.05) return '<0.1';
  return value >= 100 ? whole(value) : plain(value);
}

/** The same with its unit: `340/s`. */
export function perSecond(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : `${rate(value)}/s`;
}

/** A whole number: `1,204`. */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : whole(value);
}

/** A share, never rounded up to 100: `99.97 %`. @param value 0 to 1 */
export function share(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  return `${Math.floor(value * 1e4 + 1e-6) / 100} %`;
}

/** A time: `0.4 ms`, `12 ms`, `1.2 s`. @param value milliseconds */
export function latency(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  if (value >= 10_000) return `${whole(value / 1000)} s`;
  if (value >= 1000) return `${plain(value / 1000)} s`;
  return `${value >= 10 ? whole(value) : plain(value)} ms`;
}

/** A rate of bytes, or bytes: `12 kB`. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let [left, at] = [value, 0];
  while (left >= 1000 && at < units.length - 1) [left, at] = [left / 1000, at + 1];
  return `${left >= 100 || at === 0 ? whole(left) : plain(left)} ${units[at] ?? ''}`;
}

/** How long ago, or how long still: `40 s`, `4 min`, `3 h`, `12 d`. @param seconds 0 or more */
export function age(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  const of = Math.max(0, seconds);
  if (of < 90) return `${Math.round(of)} s`;
  if (of < 5400) return `${Math.round(of / 60)} min`;
  if (of < 172_800) return `${Math.round(of / 3600)} h`;
  return `${Math.round(of / 86_400)} d`;
}

/** `3 of 4`, or one dash. */
export function part(of: { readonly ready: number; readonly known: number } | null | undefined): string {
  return of === null || of === undefined ? NONE : `${of.ready} of ${of.known}`;
}

/** `1 mirror`, `12 mirrors`. @param plural for what does not take an s */
export function several(number: number, one: string, plural = `${one}s`): string {
  return `${whole(number)} ${number === 1 ? one : plural}`;
}

/** `demo/web`, or the name alone. */
export function fullName({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

/** The time of day: `12:00:01.123`. @param at milliseconds since the epoch */
export function timeOfDay(at: number, millis = false): string {
  const time = new Date(at);
  const two = (value: number) => String(value).padStart(2, '0');
  const text = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return millis ? `${text}.${String(time.getMilliseconds()).padStart(3, '0')}` : text;
}

/** Words between backticks are commands or names: what stands between them, in order. */
export function codeParts(text: string): { readonly code: boolean; readonly text: string }[] {
  return text
    .split('`')
    .map((part, at) => ({ code: at % 2 === 1, text: part }))
    .filter((one) => one.text !== '');
}

/** The commands of this project, or of kubectl, that an advice names: what can be copied. */
export function commandsOf(advice: string): string[] {
  const commands = codeParts(advice).filter(({ code, text }) => code && /^(?:linkspan|kubectl) /.test(text));
  return [...new Set(commands.map(({ text }) => text))];
}

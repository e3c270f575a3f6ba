import { medianOf, ratioOf, type Samples } from './bench-py.ts';
import { RUNTIMES, type Runtime } from './stage.ts';

/** One line of the table. */
export interface Row {
  readonly what: string;
  readonly haproxy?: string;
  /** By runtime. */
  readonly measured: Readonly<Record<Runtime, string>>;
  readonly must: string;
  readonly met: string;
}

interface Limit {
  readonly haproxy: number;
  readonly envoy?: number;
}

/** What must be reached: on the better runtime, and on Node alone. */
const MUST: Readonly<Record<string, { readonly what: string; readonly best: Limit; readonly node: Limit }>> =
  {
    h2v: { what: 'HTTP/2 varied', best: { haproxy: 1.3, envoy: 4.5 }, node: { haproxy: 1 } },
    h1: { what: 'HTTP/1.1', best: { haproxy: 0.8, envoy: 2.2 }, node: { haproxy: 0.6 } },
    up1: { what: 'opaque, up, 1 connection', best: { haproxy: 1, envoy: 0.75 }, node: { haproxy: 0.7 } },
    up8: { what: 'opaque, up, 8', best: { haproxy: 1, envoy: 0.75 }, node: { haproxy: 0.7 } },
    down1: { what: 'opaque, down, 1', best: { haproxy: 1, envoy: 0.75 }, node: { haproxy: 0.7 } },
    down8: { what: 'opaque, down, 8', best: { haproxy: 1, envoy: 0.75 }, node: { haproxy: 0.7 } },
    hs: { what: 'new mTLS connections', best: { haproxy: 1.8 }, node: { haproxy: 0.9 } },
  };

const nameOf = (runtime: Runtime) => `linkspan-${runtime}`;

/** Work per CPU second against haproxy and Envoy. */
export function speedRows(samples: Samples): Row[] {
  return Object.entries(MUST).flatMap(([metric, { what, best, node }]) => {
    const found = samples[metric];
    if (found === undefined) return [];
    const against = (runtime: Runtime, peer: string) =>
      ratioOf(found[nameOf(runtime)], found[peer], 'percpu');
    const reaches = (runtime: Runtime, { haproxy, envoy }: Limit) =>
      (against(runtime, 'haproxy') ?? 0) >= haproxy &&
      (envoy === undefined || found['envoy'] === undefined || (against(runtime, 'envoy') ?? 0) >= envoy);
    const cell = (runtime: Runtime) => {
      const work = medianOf(found[nameOf(runtime)], 'percpu');
      const [haproxy, envoy] = [against(runtime, 'haproxy'), against(runtime, 'envoy')];
      return `${number(work)} = ${times(haproxy)} haproxy, ${times(envoy)} Envoy`;
    };
    const met = { best: RUNTIMES.some((runtime) => reaches(runtime, best)), node: reaches('node', node) };
    return [
      {
        what: `${what} (${metric})`,
        haproxy: number(medianOf(found['haproxy'], 'percpu')),
        measured: { node: cell('node'), bun: cell('bun') },
        must: `${limit(best)}; Node ${limit(node)}`,
        met: verdict(met),
      },
    ];
  });
}

/** Latency at a fixed rate, and memory. */
export function latencyRows(samples: Samples): Row[] {
  const found = samples['lat'];
  if (found === undefined) return [];
  const p50 = (name: string) => medianOf(found[name], 'v') ?? Infinity;
  const p99 = (name: string) => medianOf(found[name], 'p99') ?? Infinity;
  const peers = ['haproxy', 'envoy'].filter((name) => found[name] !== undefined);
  const best = Math.min(...peers.map(p99));
  const reaches = (name: string) => p50(name) <= p50('haproxy') && p99(name) <= 1.1 * best;
  const cell = (name: string) => `p50 ${number(p50(name))} µs, p99 ${number(p99(name))} µs`;
  return [
    {
      what: 'latency at 2,000/s (lat)',
      haproxy: cell('haproxy'),
      measured: { node: cell(nameOf('node')), bun: cell(nameOf('bun')) },
      must: `p50 ≤ haproxy, p99 ≤ 1.1 × best peer (${number(best)} µs)`,
      met: verdict({
        best: RUNTIMES.some((runtime) => reaches(nameOf(runtime))),
        node: reaches(nameOf('node')),
      }),
    },
  ];
}

const MEMORY = { best: { idle: 45, each: 22 }, node: { idle: 60, each: 65 } } as const;

export function memoryRows(samples: Samples): Row[] {
  const found = samples['mem'];
  if (found === undefined) return [];
  const idle = (name: string) => medianOf(found[name], 'idle') ?? Infinity;
  const each = (name: string) => {
    const full = medianOf(found[name], 'c5000');
    return full === undefined ? Infinity : ((full - idle(name)) * 1024) / 5000;
  };
  const row = (what: string, of: (name: string) => number, key: 'idle' | 'each', unit: string): Row => ({
    what,
    haproxy: `${of('haproxy').toFixed(1)} ${unit}`,
    measured: {
      node: `${of(nameOf('node')).toFixed(1)} ${unit}`,
      bun: `${of(nameOf('bun')).toFixed(1)} ${unit}`,
    },
    must: `≤ ${MEMORY.best[key]} ${unit}; Node ≤ ${MEMORY.node[key]}`,
    met: verdict({
      best: RUNTIMES.some((runtime) => of(nameOf(runtime)) <= MEMORY.best[key]),
      node: of(nameOf('node')) <= MEMORY.node[key],
    }),
  });
  return [
    row('memory, empty (PSS)', idle, 'idle', 'MiB'),
    row('memory of an idle connection with its upstream', each, 'each', 'KiB'),
  ];
}

/** CPU per operation through the transport header; the limits are for a machine that is not shared. */
export function costRow(
  what: string,
  micros: Readonly<Record<Runtime, number | undefined>>,
  best: number,
  node: number,
): Row {
  const cell = (runtime: Runtime) => `${micros[runtime]?.toFixed(1) ?? 'none'} µs`;
  return {
    what,
    measured: { node: cell('node'), bun: cell('bun') },
    must: `≤ ${best} µs; Node ≤ ${node} µs`,
    met: verdict({
      best: RUNTIMES.some((runtime) => (micros[runtime] ?? Infinity) <= best),
      node: (micros.node ?? Infinity) <= node,
    }),
  };
}

/** The table in Markdown. */
export function tableOf(rows: readonly Row[]): string {
  const head = ['what', 'haproxy', 'Node', 'Bun', 'must (better runtime; Node alone)', 'met'];
  const lines = rows.map(({ what, haproxy = '', measured, must, met }) => [
    what,
    haproxy,
    measured.node,
    measured.bun,
    must,
    met,
  ]);
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

export function verdict(met: { readonly best: boolean; readonly node: boolean }): string {
  if (met.best && met.node) return 'yes';
  if (met.best) return 'not on Node';
  return met.node ? 'on Node only' : 'no';
}

export function times(ratio: number | undefined): string {
  return ratio === undefined ? '–' : `${ratio.toFixed(2)} ×`;
}

export function number(value: number | undefined): string {
  return value === undefined ? 'none' : Math.round(value).toLocaleString('en');
}

function limit({ haproxy, envoy }: Limit): string {
  const text = `≥ ${haproxy} × haproxy`;
  return envoy === undefined ? text : `${text}, ${envoy} × Envoy`;
}

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { type BenchOptions, median } from './bench-py.ts';
import type { NewFlowsResult } from './new-flows.ts';
import { RUNTIMES, type Runtime } from './stage.ts';
import { number, type Row, times, verdict } from './verdicts.ts';

/**
 * New raw flows from our own egress, in stream mode and with a connection each: both by `new-flows.ts`, each
 * round on a gateway of its own.
 */
export function newFlowsRow({
  rounds,
  seconds,
  say,
}: Pick<BenchOptions, 'rounds' | 'seconds' | 'say'>): Row[] {
  const found = new Map<Runtime, { readonly streams: number; readonly ratio: number }>();
  for (const runtime of RUNTIMES) {
    const streams: number[] = [];
    const ratios: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const stream = perCpu('streams', runtime, seconds);
      const connection = perCpu('header', runtime, seconds);
      say(`flows ${round} ${runtime}: ${number(stream)} and ${number(connection)}`);
      streams.push(stream);
      ratios.push(stream / connection);
    }
    found.set(runtime, { streams: median(streams) ?? 0, ratio: median(ratios) ?? 0 });
  }
  const cell = (runtime: Runtime) => {
    const { streams, ratio } = found.get(runtime) ?? {};
    return `${number(streams)} = ${times(ratio)} its own new connections`;
  };
  const reaches = (runtime: Runtime) => (found.get(runtime)?.ratio ?? 0) >= 10;
  return [
    {
      what: 'new flows, egress to gateway (stream mode)',
      measured: { node: cell('node'), bun: cell('bun') },
      must: '≥ 10 × its own new connections',
      met: verdict({ best: RUNTIMES.some(reaches), node: reaches('node') }),
    },
  ];
}

/** @returns flows per second of the gateway's CPU */
function perCpu(mode: 'streams' | 'header', runtime: Runtime, seconds: number): number {
  const script = path.join(import.meta.dirname, 'new-flows.ts');
  const args = [script, '--mode', mode, '--runtime', runtime, '--cpu', '0', '--seconds', String(seconds)];
  // On a machine that is busy with something else a handshake may take longer than a connection may: such a
  // run says nothing.
  const text = attempt(() =>
    execFileSync('taskset', ['-c', '1', process.execPath, ...args], { encoding: 'utf8' }),
  );
  const result = JSON.parse(text) as NewFlowsResult;
  return result.flows / result.gatewayCpuSeconds;
}

function attempt<T>(run: () => T): T {
  for (let left = 3; ; left--) {
    try {
      return run();
    } catch (error) {
      if (left === 0) throw error;
    }
  }
}

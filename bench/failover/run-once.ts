import { eventually } from '../../test/support/eventually.ts';
import { monotonicMs } from '../../test/e2e/programs/open-loop.mts';
import type { Fault } from './faults.ts';
import { figuresOf } from './figures.ts';
import type { Stage } from './stage.ts';
import { Load } from './support/load.ts';
import type { Run } from './summary.ts';

/** How long nothing may fail before the fault comes, milliseconds. */
const CALM_MS = 2500;
/** Requests of so many milliseconds before the fault say how long they take without it. */
const BASELINE_MS = 1500;
/** How often the client's idea of where the Service is follows the slices, milliseconds. */
const PROXY_MS = 250;

/** One run of a fault, with a Service of its own, which goes again. Everything is repaired at its end. */
export async function runOnce(stage: Stage, fault: Fault, rps: number): Promise<Run> {
  const service = await stage.service(fault.service);
  const load = new Load(rps, await service.places(), stage.east.marker);
  // Like kube-proxy: new connections go where the slices say.
  const ending = new AbortController();
  const follow = async () => {
    while (!ending.signal.aborted) {
      load.place(await service.places());
      await pause(PROXY_MS);
    }
  };
  const followed = follow();
  let asked = true;
  try {
    const begin = monotonicMs();
    await eventually(
      'nothing fails for a moment',
      () => {
        const since = Math.max(
          begin,
          ...load.samples.filter(([, , , , why]) => why !== '').map(([, at]) => at),
        );
        return load.samples.length > 0 && monotonicMs() - since > CALM_MS;
      },
      { timeoutMs: 30_000, everyMs: 50 },
    );
    // What came before is a start, not a service.
    const calmSince = monotonicMs() - BASELINE_MS;
    const { look, ...time } = await fault.inject({ stage, service, samples: () => load.samples });
    await pause(Math.max(0, time.at + fault.forMs - monotonicMs()));
    const samples = (await load.stop()).filter(([, due]) => due >= calmSince);
    asked = false;
    return { ...figuresOf(samples, time), extras: look?.(samples) ?? [] };
  } finally {
    ending.abort();
    await followed;
    if (asked) await load.stop();
    await stage.repair();
    await service.remove();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

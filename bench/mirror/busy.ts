import type { Cluster } from '../../test/testbed/cluster.ts';
import { farLabel, type Stage } from './stage.ts';
import { EXPORTED, type Pair } from './support/objects.ts';
import { type Measurement, percentile } from './support/results.ts';

const ADDRESSES = 5;
const BULK = farLabel('bulk');
const NO_BULK = { 'bench.linkspan.dev/export': null };

/**
 * Single Services exported one after the other while thousands are imported: over another Link, and from the
 * same target.
 */
export async function busy(stage: Stage): Promise<Measurement[]> {
  const far = await stage.far();
  const { bulk, services, busySingles: count } = stage.sizes;
  await stage.made(far, { prefix: 'bulk', count: bulk, labels: BULK, addresses: ADDRESSES });
  const farSingles = await stage.made(far, { prefix: 'single', count, addresses: ADDRESSES });
  const singles = await stage.made(stage.target, { prefix: 'busy', count });

  await stage.mirrored();
  stage.say(`busy: another Link imports ${bulk}`);
  const linked = performance.now();
  await stage.link('north', far.kubeconfig, BULK);
  const other = await exportDuring(stage, { cluster: stage.target, link: 'west', singles, labels: EXPORTED });
  const otherSeconds = (performance.now() - linked) / 1000;
  await stage.label(stage.target, singles, { 'mirror.linkerd.io/exported': null });
  await stage.watch.until('single mirrors are gone', () => stage.watch.left('west') === 2 * services);

  await stage.stopController();
  await stage.clearMirrors('north');
  stage.say(`busy: a restarted controller imports ${bulk}`);
  await stage.startController();
  const started = performance.now();
  const same = await exportDuring(stage, { cluster: far, link: 'north', singles: farSingles, labels: BULK });
  const sameSeconds = (performance.now() - started) / 1000;
  await stage.label(far, farSingles, NO_BULK);
  await stage.clear();
  return [
    ...rows(`one export while another Link imports ${bulk}`, other, otherSeconds),
    ...rows(`one export while the same Link imports ${bulk}`, same, sameSeconds),
  ];
}

interface Singles {
  readonly cluster: Cluster;
  readonly link: string;
  readonly singles: readonly Pair[];
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * Exports one by one from the first mirror of the import to its last.
 * @returns how long each took, milliseconds
 */
async function exportDuring(stage: Stage, { cluster, link, singles, labels }: Singles): Promise<number[]> {
  const { watch, sizes } = stage;
  // Singles of the same Link are counted with the others.
  const imported = () => watch.complete('north') - (link === 'north' ? times.length : 0);
  const times: number[] = [];
  await watch.until('the import begins', () => imported() > 0);
  for (const pair of singles) {
    if (imported() >= sizes.bulk) break;
    times.push(await stage.exportOne(cluster, link, pair, labels));
  }
  await watch.until('the import is done', () => imported() >= sizes.bulk);
  return times;
}

function rows(what: string, times: readonly number[], seconds: number): Measurement[] {
  const note = `${times.length} of them in an import of ${seconds.toFixed(1)} s`;
  return [
    { what: `${what}, p50`, unit: 'ms', value: percentile(times, 0.5), note },
    {
      what: `${what}, p99`,
      unit: 'ms',
      value: percentile(times, 0.99),
      target: { kind: 'max', max: 2000 },
    },
  ];
}

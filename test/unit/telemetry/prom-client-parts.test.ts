import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { collectDefaultMetrics as whole, Registry as WholeRegistry } from 'prom-client';
import path from 'node:path';
import { createRegistry } from '../../../src/telemetry/registry.ts';
import { root } from '../../support/runtime-process.ts';

const BUN = path.join(root, 'node_modules/.bin/bun');
const REGISTRY = new URL('../../../src/telemetry/registry.ts', import.meta.url).href;

/** Names, types and help texts. */
const described = (text: string) =>
  text
    .split('\n')
    .filter((line) => line.startsWith('# '))
    .toSorted();

const numberOf = (text: string, name: string) => Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1]);

// A third of the CPU of loading a controller was prom-client's, two thirds of it for parts that nobody uses.
describe('metrics of the process', () => {
  it("are prom-client's default metrics, by name, type and help", async () => {
    const theirs = new WholeRegistry();
    whole({ register: theirs });
    const ours = createRegistry();
    expect(described(await ours.metrics())).to.deep.equal(described(await theirs.metrics()));
  });

  // To tell the one that is not zero, Bun walks its heap: each scrape stopped a gateway for 20 ms.
  it('leave out, on Bun, the spaces of a heap that it does not have', () => {
    const script = `
      const { createRegistry } = await import(${JSON.stringify(REGISTRY)});
      console.log(await createRegistry().metrics());`;
    const text = execFileSync(BUN, ['-e', script], { encoding: 'utf8' });
    expect(text).to.contain('nodejs_heap_size_used_bytes').and.not.to.contain('nodejs_heap_space');
  });

  it('tell CPU time since the process began, whose parts add up, and which grows', async () => {
    const registry = createRegistry();
    const read = async () => {
      const text = await registry.metrics();
      return [
        'process_cpu_user_seconds_total',
        'process_cpu_system_seconds_total',
        'process_cpu_seconds_total',
      ].map((name) => numberOf(text, name));
    };
    const [user = 0, system = 0, both = 0] = await read();
    const used = process.cpuUsage();
    expect(both).to.be.closeTo(user + system, 1e-6);
    expect(user).to.be.within(0.01, used.user / 1e6);
    const before = process.cpuUsage().user;
    while (process.cpuUsage().user - before < 20_000);
    const [later = 0] = await read();
    expect(later - user).to.be.at.least(0.02);
    expect(later).to.be.at.most(process.cpuUsage().user / 1e6);
  });

  it('load nothing that is not used', () => {
    const script = `
      await import(${JSON.stringify(REGISTRY)});
      const { createRequire } = await import('node:module');
      console.log(Object.keys(createRequire(${JSON.stringify(REGISTRY)}).cache).join('\\n'));`;
    const loaded = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect(loaded).to.include('prom-client/lib/gauge.js');
    expect(loaded).not.to.match(/opentelemetry|pushgateway|cluster\.js/);
  });
});

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { encodeTransportHeader } from '../../src/proxy/io/transport-header.ts';
import { benchPy, type BenchOptions, medianOf } from './bench-py.ts';
import { IDENTITY, RUNTIMES, type Runtime, type Stage, startProduct } from './stage.ts';
import { costRow, type Row } from './verdicts.ts';
import { opaqueEcho } from './opaque-echo.ts';

/**
 * Through the transport header, as other clusters' proxies come: the same load generators, which a shim makes
 * say it.
 */
export async function throughHeader(
  stage: Stage,
  shared: Pick<BenchOptions, 'rounds' | 'seconds' | 'say'>,
): Promise<Row[]> {
  const shimmed = withShim(stage);
  const found: Record<'h2v' | 'h1' | 'echo', Partial<Record<Runtime, number | undefined>>> = {
    h2v: {},
    h1: {},
    echo: {},
  };
  for (const runtime of RUNTIMES) {
    const product = await startProduct(stage, runtime, { base: 13_000, cpu: 0, workers: 1 });
    try {
      for (const [metric, protocol] of [
        ['h2v', 'http2'],
        ['h1', 'http1'],
      ] as const) {
        const header = path.join(stage.work, `header-${protocol}`);
        const name = `${protocol}.bench.svc.cluster.local`;
        writeFileSync(header, encodeTransportHeader({ name, port: 80, protocol }));
        const samples = await benchPy(shimmed, {
          ...shared,
          peers: [],
          products: [`${runtime},h1=127.0.0.1:13003,h2=127.0.0.1:13003,pid=${product.pid}`],
          metrics: [metric],
          env: { L5D_HEADER: header, L5D_GATEWAY: IDENTITY('server') },
        });
        const work = medianOf(samples[metric]?.[runtime], 'percpu');
        if (work !== undefined) found[metric][runtime] = 1e6 / work;
      }
      found.echo[runtime] = await opaqueEcho(stage, product.pid, { port: 13_003, ...shared });
    } finally {
      await product.stop();
    }
  }
  const micros = ({ node, bun }: Partial<Record<Runtime, number | undefined>>) => ({ node, bun });
  return [
    costRow('CPU per HTTP/2 request, transport header', micros(found.h2v), 15, 20),
    costRow('CPU per HTTP/1 request, transport header', micros(found.h1), 25, 35),
    costRow('CPU per 16 kB echo, transport header', micros(found.echo), 25, 35),
  ];
}

/**
 * The same working folder, but with the shim of ours in place of the one that only gives a client
 * certificate.
 */
function withShim(stage: Stage): Stage {
  const work = path.join(stage.work, 'shimmed');
  mkdirSync(path.join(work, 'bin'), { recursive: true });
  mkdirSync(path.join(work, 'run'));
  symlinkSync(path.join(stage.work, 'certs'), path.join(work, 'certs'));
  const bin = path.join(stage.work, 'bin');
  for (const tool of readdirSync(bin))
    if (tool !== 'clientcert.so') symlinkSync(path.join(bin, tool), path.join(work, 'bin', tool));
  const source = path.join(import.meta.dirname, 'transport-header.c');
  const shim = path.join(work, 'bin/clientcert.so');
  execFileSync('gcc', ['-O2', '-shared', '-fPIC', '-o', shim, source, '-ldl']);
  return { ...stage, work };
}

import type { Run } from './session.ts';
import { protocolManifests } from './workloads.ts';

interface Outcome {
  readonly right: number;
  readonly of: number;
  readonly p50?: number;
  readonly why: string;
}

/**
 * Every session type from a plain pod in the source, through egress and gateway, to pods in the target and
 * back, byte for byte.
 */
export async function checkProtocols(run: Run): Promise<void> {
  const { source, target, namespace, nodeImage, check, until, rolledOut } = run;
  await target.apply(protocolManifests(namespace, nodeImage));
  await rolledOut(target, namespace, 'protocols');
  const ask = async (requests: number, bytes: number) => {
    const command = [
      'node',
      '/programs/protocols-client.mts',
      'protocols-target',
      String(requests),
      String(bytes),
    ];
    const text = await source.kubectl('-n', namespace, 'exec', 'client', '--', ...command);
    return Object.entries(JSON.parse(text) as Record<string, Outcome>);
  };
  await until(async () => {
    const wrong = (await ask(1, 10)).filter(([, { right, of }]) => right !== of);
    if (wrong.length > 0) throw new Error(JSON.stringify(Object.fromEntries(wrong)));
    return true;
  });
  for (const [requests, bytes] of [
    [100, 100],
    [20, 300_000],
  ] as const)
    await check(`${requests} requests of each protocol with ${bytes} bytes each way`, async () => {
      const outcomes = await ask(requests, bytes);
      const wrong = outcomes.filter(([, { right, of }]) => right !== of);
      if (wrong.length > 0) throw new Error(JSON.stringify(Object.fromEntries(wrong)));
      return outcomes.map(([kind, { p50 }]) => `${kind} ${p50 ?? 0} ms`).join(', ');
    });
}

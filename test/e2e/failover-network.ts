import type { V1LeaseList } from '@kubernetes/client-node';
import {
  countsOf,
  FAULT_MS,
  notIdempotent,
  pause,
  type Scene,
  scaleGateway,
  testbedScript,
} from './failover-scene.ts';
import { underOpenLoop } from './open-loop.ts';

type Command = readonly [script: string, ...args: string[]];

/** What only the machine below the clusters can do to them. */
export async function checkNetwork(scene: Scene): Promise<void> {
  const { run } = scene;
  if (run.testbed === undefined) {
    run.say('without --testbed no cluster is cut off');
    return;
  }
  await checkLossy(scene);
  await checkLost(scene);
  await checkApi(scene);
}

/** Slow is not dead. */
async function checkLossy(scene: Scene): Promise<void> {
  const { run, west, both, load, isAnswered, backend } = scene;
  await run.check('a link of 200 ms that loses 5 % is no loss: its cluster stays in use', async () => {
    let words = '';
    const seen = await underOpenLoop(run, { ...load, mayFail: notIdempotent }, async (seenSoFar) => {
      const { flaps } = await backend(west);
      const lossy: Command = ['wan.sh', 'link', west.name, '-loss', '0.05', '-delay', '100ms'];
      await during(scene, [lossy], [['wan.sh', 'unlink', west.name]], async () => {
        const from = await seenSoFar.now();
        await pause(2 * FAULT_MS);
        const counts = await seenSoFar.answeredSince(from);
        words = `; meanwhile ${countsOf(counts)}`;
        const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
        if ((counts.get(west.name) ?? 0) < all / 4) throw new Error(`it was left: ${countsOf(counts)}`);
        const after = await backend(west);
        if (after.flaps !== flaps) throw new Error(`it was withdrawn: ${after.reason}`);
      });
      await isAnswered(seenSoFar, ...both);
    });
    return seen + words;
  });
}

async function checkLost(scene: Scene): Promise<void> {
  const { run, west, north, both, load, isAnswered } = scene;
  const address = await nodeAddress(scene);
  const nft = (...words: string[]): Command => ['svc.sh', 'shell', west.name, 'nft', ...words];
  const table = ['inet', 'e2e-drop'];
  const dropping = (chain: string, hook: string, side: string, face: string): Command[] => [
    nft('add', 'table', ...table),
    nft('add', 'chain', ...table, chain, `{ type filter hook ${hook}; }`),
    nft('add', 'rule', ...table, chain, face, 'wan0', 'ip', side, address, 'drop'),
  ];
  const undropping = [nft('delete', 'table', ...table)];
  const { name } = west;
  const source = run.source.name;
  const losses: readonly (readonly [what: string, begin: readonly Command[], end: readonly Command[]])[] = [
    ['a cluster that is cut off', [['wan.sh', 'cut', name]], [['wan.sh', 'heal', name]]],
    [
      'a cluster that this one cannot reach, and others can',
      [['wan.sh', 'block', source, name]],
      [['wan.sh', 'unblock', source, name]],
    ],
    [
      'a cluster that hears and is not heard',
      dropping('out', 'postrouting priority srcnat + 20', 'daddr', 'oifname'),
      undropping,
    ],
    [
      'a cluster that is heard and does not hear',
      dropping('in', 'prerouting priority raw', 'saddr', 'iifname'),
      undropping,
    ],
  ];
  for (const [what, begin, end] of losses)
    await run.check(`${what}: nothing idempotent fails, and it is used again`, () =>
      underOpenLoop(run, { ...load, mayFail: notIdempotent }, async (seen) => {
        await during(scene, begin, end, async () => {
          await isAnswered(seen, north.name);
          await pause();
        });
        await isAnswered(seen, ...both);
      }),
    );
}

async function checkApi(scene: Scene): Promise<void> {
  const { run, west, north, both, load, isAnswered } = scene;
  const { source } = run;
  const processes = [west.name, 'kube-apiserver'];
  await run.check('an API server that is silent changes nothing', () =>
    underOpenLoop(run, load, async (seen) => {
      const begin: Command = ['svc.sh', 'pause', ...processes];
      await during(scene, [begin], [['svc.sh', 'resume', ...processes]], () => pause());
      await isAnswered(seen, ...both);
    }),
  );
  await run.check("a gateway dies while the source's API server is stopped: nothing idempotent fails", () =>
    underOpenLoop(run, { ...load, mayFail: notIdempotent, detached: true }, async (seen) => {
      const api = [source.name, 'kube-apiserver'];
      let from = 0;
      await during(scene, [['svc.sh', 'stop', ...api]], [['svc.sh', 'start', ...api]], async () => {
        await scaleGateway(run, west, 0);
        await pause();
      });
      await run.until(async () => (await source.kubectl('get', '--raw', '/readyz')) === 'ok');
      await nodesReport(scene);
      from = await seen.now();
      await isAnswered(seen, north.name);
      await scaleGateway(run, west, 1);
      await run.until(async () => (await seen.answeredSince(from)).has(west.name));
      await isAnswered(seen, ...both);
    }),
  );
  await checkWiped(scene);
}

/**
 * Waits until the source's nodes have been heard of since its API server is back. It takes a node that it has
 * not heard of for 40 s for lost, and with it all endpoints on it, those of the cluster's DNS too.
 */
async function nodesReport({ run }: Scene): Promise<void> {
  const { source } = run;
  const back = Date.now();
  await run.until(async () => {
    const leases = await source.json<V1LeaseList>('-n', 'kube-node-lease', 'leases');
    return leases?.items.every(({ spec }) => Date.parse(String(spec?.renewTime)) > back) === true;
  });
  await source.kubectl('wait', 'nodes', '--all', '--for=condition=Ready', '--timeout=60s');
  for (const namespace of ['kube-system', run.system, run.namespace])
    await source.kubectl('-n', namespace, 'wait', 'pods', '--all', '--for=condition=Ready', '--timeout=60s');
}

/** An API server whose etcd has lost everything says that nothing is there. */
async function checkWiped(scene: Scene): Promise<void> {
  const { run, west, both, load, isAnswered, backend } = scene;
  await run.check('an etcd that is empty changes nothing, and nothing fails when it is put back', () =>
    underOpenLoop(run, load, async (seen) => {
      const { flaps } = await backend(west);
      const svc = (verb: string, ...names: string[]): Command[] =>
        names.map((name) => ['svc.sh', verb, west.name, name]);
      const shell = (...words: string[]): Command => ['svc.sh', 'shell', west.name, ...words];
      const folder = (await etcdFolder(scene)).trim();
      // Without its kubelet and controllers the pods stay as they are.
      const others = ['kubelet', 'kube-controller-manager', 'kube-scheduler'];
      const stopped = [...svc('stop', ...others), ...svc('stop', 'kube-apiserver', 'etcd')];
      const started = svc('start', 'etcd', 'kube-apiserver');
      const wiped: Command[] = [...stopped, shell('mv', folder, `${folder}.kept`), ...started];
      const back: Command[] = [
        ...svc('stop', 'kube-apiserver', 'etcd'),
        shell('rm', '-rf', folder),
        shell('mv', `${folder}.kept`, folder),
        ...started,
        ...svc('start', ...others),
      ];
      await during(scene, wiped, back, async () => {
        await run.until(async () => {
          const found = await west.json('namespace', run.namespace);
          return found === undefined;
        });
        const from = await seen.now();
        await pause(2 * FAULT_MS);
        const counts = await seen.answeredSince(from);
        if (!counts.has(west.name)) throw new Error(`it was left: ${countsOf(counts)}`);
      });
      await run.until(async () => (await west.json('namespace', run.namespace)) !== undefined);
      await isAnswered(seen, ...both);
      const after = await backend(west);
      if (after.flaps !== flaps) throw new Error(`it was withdrawn: ${after.reason}`);
    }),
  );
}

/** The folder of the first target's etcd, as its process was told. */
async function etcdFolder({ run, west }: Scene): Promise<string> {
  const find =
    "tr '\\0' '\\n' < /proc/$(pgrep -x etcd | head -n 1)/cmdline | grep -A 1 -x -e --data-dir | tail -n 1";
  return testbedScript(run, 'svc.sh', 'shell', west.name, 'sh', '-c', find);
}

/** Where the source's requests come from, for the other clusters. */
async function nodeAddress({ run }: Scene): Promise<string> {
  const path = 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}';
  return run.source.kubectl('get', 'nodes', '-o', path);
}

async function during(
  { run }: Scene,
  begin: readonly Command[],
  end: readonly Command[],
  meanwhile: () => Promise<void>,
): Promise<void> {
  try {
    for (const [script, ...args] of begin) await testbedScript(run, script, ...args);
    await meanwhile();
  } finally {
    for (const [script, ...args] of end) await testbedScript(run, script, ...args);
  }
}

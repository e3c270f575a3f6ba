import { expect } from 'chai';
import { TAP_TOKEN_HEADER } from '../../../../src/api/answers/tap-events.ts';
import { tapCluster, type TapWord } from '../../../../src/cli/queries/tap-streams.ts';
import { eventually } from '../../../support/eventually.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';
import { KubeApiError, type KubeClient } from '../../../../src/kube/client/kube-client.ts';

const ACCOUNT = { namespace: 'linkerd-multicluster', name: 'linkspan-tap' };
const ALIVE = '{"v":1,"type":"alive"}';
const SILENT = Symbol('silent');

/** Lines, and then nothing, not even an end. */
const silentAfter = (...lines: readonly string[]) => Object.assign([...lines], { [SILENT]: true });

/** A cluster whose pods answer so: with lines, or with an error. */
function clusterOf(
  pods: Readonly<Record<string, Iterable<string> | AsyncIterable<string> | Error>>,
  token: string | Error = 'a token',
) {
  const asked: string[] = [];
  const client = {
    server: 'https://west',
    createUnder: () =>
      token instanceof Error ? Promise.reject(token) : Promise.resolve({ status: { token } }),
    list: (_: unknown, { labelSelector }: { labelSelector: string }) =>
      Promise.resolve({
        items: Object.keys(pods)
          .filter((name) => labelSelector.endsWith(`component=${name.split('-', 1).join('')}`))
          .map((name) => ({
            metadata: { name },
            status: { phase: 'Running' },
            spec: { containers: [{ ports: [{ name: 'linkspan-admin', containerPort: 9990 }] }] },
          })),
      }),
    async *lines(
      path: string,
      { headers, signal }: { headers: Record<string, string>; signal: AbortSignal },
    ) {
      asked.push(`${headers[TAP_TOKEN_HEADER] ?? ''} ${path}`);
      await Promise.resolve();
      const answer = pods[/pods\/([^:]+):/.exec(path)?.[1] ?? ''] ?? [];
      if (answer instanceof Error) throw answer;
      yield* answer;
      if (SILENT in answer) await new Promise<void>((resolve) => (signal.onabort = () => resolve()));
    },
  } as unknown as KubeClient;
  return { client, asked };
}

async function look(
  client: KubeClient,
  filter: object = {},
  clock = new VirtualClock(),
  told: (text: string) => void = () => undefined,
) {
  const words: TapWord[] = [];
  const failures: string[] = [];
  const outcome = await tapCluster(
    client,
    {
      namespace: 'linkerd-multicluster',
      account: ACCOUNT,
      filter: { maxRps: 10, forMs: 1000, ...filter },
      clock,
      signal: new AbortController().signal,
    },
    {
      word: (word) => {
        words.push(word);
        return Promise.resolve();
      },
      silent: (pod, why) => {
        failures.push(`${pod}: ${why}`);
        told(`${pod}: ${why}`);
      },
    },
  ).then(
    () => failures,
    (error: unknown) => error as { code: string; message: string },
  );
  return { words, failures, outcome };
}

const refusal = (status: number, message: string, reason = '') =>
  new KubeApiError({ status, message, reason }, 'GET /api/v1/namespaces/x/pods/y/proxy/tap');

describe('Pods that are asked what passes them', () => {
  it('are all gateways and egresses, or one kind where only that is meant, with the token and the filter', async () => {
    const { client, asked } = clusterOf({ 'gateway-1': [ALIVE], 'egress-1': [ALIVE] });
    const { words, outcome } = await look(client, { namespace: 'demo' });
    expect(outcome).to.deep.equal([]);
    expect(words.map(({ pod }) => pod).sort()).to.deep.equal(['egress-1', 'gateway-1']);
    expect(asked[0]).to.match(/^a token .*:9990\/proxy\/tap\?.*namespace=demo/);
    await look(client, { side: 'egress' });
    expect(asked.slice(2)).to.have.length(1);
  });

  it('are named where they say nothing, and the others are heard', async () => {
    const { client } = clusterOf({
      'gateway-1': [ALIVE],
      'gateway-2': refusal(429, '8 look at this pod already\n'),
      'egress-1': refusal(404, 'not found; this port has /ready'),
      'egress-2': ['{"v":2,"type":"news"}'],
    });
    const { outcome } = await look(client);
    expect([...(outcome as string[])].sort()).to.deep.equal([
      'egress-1: it has no such page: it is of an older version, or tap.enabled is off',
      'egress-2: no event of this version: type',
      'gateway-2: 8 look at this pod already',
    ]);
  });

  it('are named at once, while others go on, and when they say nothing any more', async () => {
    const clock = new VirtualClock();
    const { client } = clusterOf({
      'gateway-1': silentAfter(ALIVE),
      'gateway-2': refusal(429, '8 look at this pod already\n'),
      'gateway-3': silentAfter(),
    });
    const told: string[] = [];
    const looking = look(client, {}, clock, (text) => told.push(text));
    await eventually('the refusal is told', () => told.length === 1);
    await clock.advance(39_000);
    expect(told).to.deep.equal(['gateway-2: 8 look at this pod already']);
    await clock.advance(2000);
    await looking;
    expect(told.slice(1)).to.have.members(
      ['gateway-1', 'gateway-3'].map((pod) => `${pod}: it has not said a word for 40 s`),
    );
  });

  it('are given up where they go on for longer than they were asked to', async () => {
    const clock = new VirtualClock();
    const endless = async function* () {
      for (;;) {
        await clock.advance(15_000);
        yield ALIVE;
      }
    };
    const { outcome } = await look(clusterOf({ 'gateway-1': endless() }).client, { forMs: 60_000 }, clock);
    expect(outcome).to.deep.equal(['gateway-1: it goes on for longer than it was asked to']);
  });

  it('are an error where not one can be asked, in their own words', async () => {
    const binding = 'kubectl create -n demo rolebinding linkspan-tap';
    for (const [pods, token, words] of [
      [{ 'gateway-1': refusal(403, binding) }, 'a token', binding],
      [{}, 'a token', 'there is no gateway and no egress'],
      [{ 'gateway-1': [ALIVE] }, refusal(403, 'may not create', 'Forbidden'), 'may not create'],
      [{ 'gateway-1': [ALIVE] }, refusal(404, 'not found', 'NotFound'), 'no service account'],
    ] as const) {
      const { outcome } = await look(clusterOf(pods, token).client);
      expect(outcome).to.include({ code: 'TAP_REFUSED' });
      expect(outcome).to.have.property('message').that.includes(words);
    }
  });
});

import type { V1Pod } from '@kubernetes/client-node';
import { expect } from 'chai';
import type { StatsReport } from '../../../../src/api/answers/stats-report.ts';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import { TrafficReader, windowAsked } from '../../../../src/cli/traffic/traffic-reader.ts';
import { KubeApiError, type KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { eventually } from '../../../support/eventually.ts';
import { reportOf, targetOf } from '../../../support/traffic-readings.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

type Answer = (path: string) => unknown;

const podOf = (
  name: string,
  component: string,
  change: Partial<V1Pod['status']> = {},
  port = 9990,
): V1Pod => ({
  metadata: { name, uid: name, labels: { 'app.kubernetes.io/component': component } },
  spec: { containers: [{ name: component, ports: [{ name: 'linkspan-admin', containerPort: port }] }] },
  status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }], ...change },
});

const forbidden = () => new KubeApiError({ status: 403, reason: 'Forbidden', message: 'no' }, 'GET pods');
const totals = (at: number, requests: number): StatsReport => {
  const { windowMs: _, ...report } = reportOf({ at, targets: [targetOf({ requests })] });
  return report;
};

/** A cluster of these pods, of which each answers as it is told. */
function clusterOf(pods: readonly V1Pod[] | Error, answer: Answer = () => reportOf()) {
  const asked: string[] = [];
  const client = {
    list: async () => {
      if (pods instanceof Error) throw pods;
      return { items: pods };
    },
    raw: async (_: 'GET', path: string) => {
      asked.push(path);
      const said = answer(path);
      if (said instanceof Error) throw said;
      return said;
    },
  } as unknown as KubeClient;
  return { asked, client };
}

const nothing = { services: false, links: false, pods: false, usage: false, namespace: undefined };

function readerOf(
  client: KubeClient,
  change: { readonly silent?: boolean; readonly windowMs?: number } = {},
) {
  const clock = new VirtualClock();
  const { silent = false, windowMs = 60_000 } = change;
  const options = { clock, windowMs, timeoutMs: 10_000, wanted: { ...nothing, silent } };
  return { clock, reader: new TrafficReader({ name: 'east', client, namespace: 'mc' }, options) };
}

async function failure(reading: Promise<unknown>): Promise<{ code: string | undefined; message: string }> {
  try {
    await reading;
  } catch (error) {
    return { code: codeOf(error), message: (error as Error).message };
  }
  throw new Error('it did not fail');
}

describe('asking the processes of a cluster', () => {
  it('asks each once for the window, where processes keep one', async () => {
    const { asked, client } = clusterOf([podOf('gateway-0', 'gateway'), podOf('controller-0', 'controller')]);
    const { reading, unread } = await readerOf(client).reader.read();
    expect(asked).to.deep.equal(['/api/v1/namespaces/mc/pods/gateway-0:9990/proxy/stats?window=1m']);
    expect(unread).to.deep.equal([]);
    expect(reading.processes.map(({ name, window }) => [name, window?.ms])).to.deep.equal([
      ['gateway-0', 10_000],
      ['controller-0', undefined],
    ]);
  });

  it('asks twice where they say totals, and goes on from what it knows', async () => {
    const answers = [totals(10_000, 100), totals(12_000, 130), totals(14_000, 190), totals(90_000, 200)];
    const { asked, client } = clusterOf([podOf('gateway-0', 'gateway')], () => answers.shift());
    const { clock, reader } = readerOf(client);
    const requests = async () => {
      const { reading } = await reader.read();
      const { report, ms } = reading.processes[0]?.window ?? {};
      return [report?.targets[0]?.requests, ms];
    };
    const first = requests();
    await eventually('it has asked once', () => asked.length === 1);
    await clock.advance(2000);
    expect(await first).to.deep.equal([30, 2000]);
    // All that the window has, without a wait.
    expect(await requests()).to.deep.equal([90, 4000]);
    // What is older than the window counts no more, as far as a later reading allows that.
    expect(await requests()).to.deep.equal([10, 76_000]);
    expect(asked).to.have.length(4);
  });

  it('names who is silent, and why', async () => {
    const pods = [
      podOf('gateway-0', 'gateway'),
      podOf('gateway-1', 'gateway'),
      podOf('gateway-2', 'gateway', { phase: 'Pending' }),
      podOf('gateway-3', 'gateway', {}, 0),
      podOf('gateway-4', 'gateway'),
    ];
    const { client } = clusterOf(pods, (path) => {
      if (path.includes('gateway-1')) return { v: 7 };
      return path.includes('gateway-4') ? reportOf({ windowMs: 0 }) : reportOf();
    });
    const { reading, unread } = await readerOf(client).reader.read();
    expect(unread).to.deep.equal([
      'no answer from east/gateway-1: the answer of /stats is not one of this version: v: Invalid input: expected 1',
      'no answer from east/gateway-2: the pod does not run',
      'no answer from east/gateway-3: the pod has no admin port',
      'no answer from east/gateway-4: it has only just started',
    ]);
    expect(reading.processes.filter(({ window }) => window !== undefined)).to.have.length(1);
  });

  it('without the right to list or to ask pods, it says so', async () => {
    for (const { client } of [clusterOf(forbidden()), clusterOf([podOf('egress-0', 'egress')], forbidden)]) {
      const { code, message } = await failure(readerOf(client, { silent: true }).reader.read());
      expect(code).to.equal('STATS_FORBIDDEN');
      expect(message).to.match(/^east: /);
    }
  });

  it('"no traffic" is not said where nobody has said anything', async () => {
    const down = clusterOf([podOf('egress-0', 'egress')], () => new Error('connection refused'));
    const { code, message } = await failure(readerOf(down.client).reader.read());
    expect([code, message]).to.deep.equal([
      'STATS_NOT_FOUND',
      'east: no pod of a gateway or an egress answers: egress-0: connection refused',
    ]);
    const none = clusterOf([podOf('controller-0', 'controller')]);
    expect((await failure(readerOf(none.client).reader.read())).code).to.equal('STATS_NOT_FOUND');
    // Whoever looks at pods sees them all the same.
    for (const { client } of [down, none])
      expect((await readerOf(client, { silent: true }).reader.read()).reading.processes).to.have.length(1);
  });

  it('asks for the shortest window that has all of what is wanted', () => {
    expect([1000, 10_000, 11_000, 60_000, 61_000, 1_800_000, 9e9].map(windowAsked)).to.deep.equal([
      '10s',
      '10s',
      '1m',
      '1m',
      '10m',
      '30m',
      '30m',
    ]);
  });
});

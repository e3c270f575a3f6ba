import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { type ConnectionDrill, readDrill, writeDrill } from '../../src/api/failover/connection-drill.ts';
import { FAILOVER_POLICY, FAILOVER_TIERS } from '../../src/api/failover/failover-names.ts';
import { endpointSlices, events, services } from '../../src/api/kubernetes/resource.ts';
import { links } from '../../src/api/link/link-schema.ts';
import { factsOf } from '../../src/api/mirror/slice-facts.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { GroupRow } from '../../src/cli/queries/failover-rows.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import type { DrillReport } from '../../src/drains/drill-report.ts';
import { OwnService } from '../../src/gateway/own-service.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { type AdminServer, startAdmin } from '../../src/telemetry/admin.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { closedIn } from '../support/closed-in.ts';
import { change, clientOf, ensureNamespace, eventReasonsIn, find } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { freePort } from '../support/free-port.ts';
import {
  apply,
  installCrd,
  linkObjects,
  startController,
  probedEachSecond,
} from '../support/linked-clusters.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { seenMeanwhile, untilTaken } from '../support/passing.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

/** Times of the guide, as short as a test has patience. */
const SHORT: Readonly<Record<string, string>> = { '5m': '1s', '1m': '2s', '10s': '500ms' };

/**
 * The commands of the guide that are about failover, without their contexts; those about a Service without
 * selector are run where there is one (`apexes.test.ts`).
 */
function guideCommands(): string[][] {
  const file = new URL('../../docs/guides/failover.md', import.meta.url);
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(
      (line) => /^linkspan (failover|drain|undrain|drill) /.test(line) && !line.includes('shop/checkout'),
    )
    .map((line) => line.replace(/ --context \w+/, '').match(/"[^"]*"|\S+/g) ?? [])
    .map((words) => words.slice(1).map((word) => word.replaceAll('"', '')));
}

const wait = { everyMs: 50 };
const OK = { ok: true, reason: '' };

// Drains could be decided about, and nobody could begin, refuse or end one, here or in the target.
describe('a cluster that is drained', function () {
  let east: Cluster;
  let west: Cluster;
  let ns: string;
  let linksNs: string;
  let gatewayNs: string;
  let own: OwnService;
  const ports = new Map<string, number>();
  const closed = closedIn(after);
  let northServer: Server | undefined;

  const openNorth = () =>
    new Promise<void>((resolve) => {
      northServer = createServer((_, response) => response.end('ready\n'));
      northServer.listen(ports.get('north'), address(18), resolve);
    });
  const killNorth = () => {
    northServer?.closeAllConnections();
    northServer?.close();
  };
  const pathOf = async (cluster: string) => {
    const name = `web-federated-${cluster}-linkspan-ipv4`;
    const slice = await find(east, endpointSlices, { namespace: ns, name });
    return slice === undefined ? undefined : factsOf([slice])?.path;
  };
  const run = (...args: string[]) => {
    const where = ['--kubeconfig', east.kubeconfigFile, '--controller-namespace', linksNs];
    return keptLinkspan(...args, ...where);
  };
  const runs = async (...args: string[]) => {
    const { code, stdout, stderr } = await untilTaken(() => run(...args));
    expect(code, stderr).to.equal(0);
    return stdout;
  };
  const inWest = async (verb: string, ...args: string[]) => {
    const where = ['--kubeconfig', west.kubeconfigFile, '--gateway-namespace', gatewayNs];
    const { code, stdout, stderr } = await keptLinkspan(verb, 'gateway', ...args, ...where);
    expect(code, stderr).to.equal(0);
    return stdout;
  };
  const shares = async () => {
    const [row] = JSON.parse(await runs('failover', '-n', ns, '-o', 'json')) as GroupRow[];
    return Object.fromEntries((row?.backends ?? []).map(({ name, share }) => [name, share]));
  };
  const isShared = (wanted: number) =>
    eventually(`west has ${wanted}`, async () => (await shares())['west'] === wanted, wait);
  const drainMessages = async () =>
    (await clientOf(east).list(events, { namespace: linksNs })).items.map(({ message = '' }) => message);
  const link = async () => find(east, links, { namespace: linksNs, name: 'west' });

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    ns = await createNamespace(west, 'app');
    await ensureNamespace(east, ns);
    linksNs = await createNamespace(east, 'links');
    gatewayNs = await createNamespace(west, 'gateway');
    for (const cluster of ['west', 'north']) {
      const port = await freePort();
      ports.set(cluster, port);
      const probeSpec = probedEachSecond(port);
      const spec = { gatewayAddress: address(18), probeSpec, ...ownSelectors(ns) };
      await apply(east, ...linkObjects(west, linksNs, cluster, spec));
    }
    await openNorth();
    const gateway: V1Service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'linkerd-gateway', namespace: gatewayNs },
      spec: { ports: [{ name: 'mc-gateway', port: 4143 }] },
    };
    await apply(west, gateway);
    const shared = { clock: systemClock, random: Math.random };
    const log = createLogger({ name: 'gateway', level: 'silent' });
    const client = new KubeClient(loadAccess({ file: west.kubeconfigFile }), shared);
    own = new OwnService({
      ...shared,
      log,
      client,
      closesClient: true,
      namespace: gatewayNs,
      name: 'linkerd-gateway',
    });
    own.start();
    closed(own, (one) => one.close());
    const listen = { host: address(18), port: ports.get('west') ?? 0 };
    closed(await startAdmin({ address: listen, ready: () => own.answer(OK) }), (one: AdminServer) =>
      one.close(),
    );
    await exportService(west, ns, 'web', { test: ns, as: 'nothing', federated: true });
    closed(startController(east, { namespace: linksNs, dataPath: 'relay' }), (one: MirrorController) =>
      one.stop(),
    );
    for (const cluster of ['west', 'north'])
      await eventually(`facts of ${cluster}`, async () => (await pathOf(cluster)) === 'alive', wait);
    await change(
      east,
      services,
      { namespace: ns, name: 'web-federated' },
      {
        metadata: { annotations: { [FAILOVER_TIERS]: 'west; north', [FAILOVER_POLICY]: 'delay=1s ramp=1s' } },
      },
    );
    await isShared(1);
  });
  after(killNorth);

  it('is not, when it is only asked what would be', async () => {
    const text = await runs('drain', 'cluster', 'west', '--dry-run');
    expect(text)
      .to.contain('Would drain west to 0%')
      .and.to.match(/web-federated +100% +0% +100%/);
    expect((await link())?.metadata?.annotations).not.to.have.property('linkspan.dev/drain');
  });

  it('loses its share along the ramp, and keeps what it had of annotations', async () => {
    await change(
      east,
      links,
      { namespace: linksNs, name: 'west' },
      { metadata: { annotations: { mine: 'yes' } } },
    );
    // A ramp that is long enough that somebody who looks now and then sees it on the way.
    const flags = ['--ramp', '8s', '--until', '1h', '--reason', 'test', '--wait'];
    const drain = untilTaken(() => run('drain', 'cluster', 'west', ...flags));
    const seen: number[] = [];
    const over = async () => {
      seen.push((await shares())['west'] ?? -1);
      return seen.at(-1) === 0;
    };
    await eventually('it has nothing', over, wait);
    const { code, stdout, stderr } = await drain;
    expect(code, stderr).to.equal(0);
    // What is left of it when it has been written.
    expect(stdout).to.match(/^Draining west to 0%: over [1-8]s/m);
    expect(stderr).to.contain('west is drained');
    expect(seen).to.deep.equal(seen.toSorted((a, b) => b - a));
    expect(
      seen.some((share) => share > 0 && share < 1),
      seen.join(' '),
    ).to.equal(true);
    expect((await link())?.metadata?.annotations).to.include({ mine: 'yes' });
    expect(await runs('failover', '-n', ns)).to.match(/west +0\.00% .*Drained \(Drained\)/);
  });

  it('is the last that may be: no more than half of all', async () => {
    // A refusal changes nothing; of one that was missed by a probe it would say something else.
    await eventually('it is refused for both', async () => {
      const { code, stderr } = await run('drain', 'cluster', 'north');
      expect(code).to.equal(1);
      expect(stderr)
        .to.contain('DRAIN_TOO_MANY')
        .and.to.contain('2 of 3 clusters')
        .and.to.contain('nobody but north can serve');
      return true;
    });
  });

  it('is used again when the other one dies', async () => {
    killNorth();
    await isShared(1);
    expect(await runs('failover', '-n', ns)).to.match(/west +100\.00%/);
    await openNorth();
    await isShared(0);
  });

  it('gets its share back along the ramp when the drain is ended', async () => {
    expect(await runs('undrain', 'cluster', 'west')).to.contain('its share comes back over 8s');
    await isShared(1);
    expect(await runs('undrain', 'cluster', 'west')).to.equal('west is not drained\n');
  });

  it('is not where nobody else can serve, unless it is forced', async () => {
    killNorth();
    await eventually('north is dead', async () => (await pathOf('north')) === 'dead', wait);
    const before = (await link())?.metadata?.annotations;
    const { code, stderr } = await run('drain', 'cluster', 'west', '--ramp', '0');
    expect(code).to.equal(1);
    expect(stderr).to.contain(`[DRAIN_SOLE_BACKEND] nobody but west can serve ${ns}/web-federated`);
    expect((await link())?.metadata?.annotations).to.deep.equal(before);
    expect(await runs('drain', 'cluster', 'west', '--ramp', '0', '--force')).to.contain(
      '[DRAIN_SOLE_BACKEND]',
    );
    expect((await shares())['west'], 'what cannot go elsewhere still goes there').to.equal(1);
    await openNorth();
    await isShared(0);
    await runs('undrain', 'cluster', 'west');
    await isShared(1);
  });

  it('for one Service is drained for that alone', async () => {
    // One that has just come back does not count as somebody who can bear everything.
    await runs('drain', 'cluster', 'west', '--service', `${ns}/web`, '--ramp', '0', '--to', '25%');
    await isShared(0.25);
    const service = await find(east, services, { namespace: ns, name: 'web-federated' });
    expect(service?.metadata?.annotations).to.have.property('drain.linkspan.dev/west');
    await runs('undrain', 'cluster', 'west', '--service', `${ns}/web`);
    await isShared(1);
  });

  it('is so until the time that it was given, which is told though nobody does anything', async () => {
    // Whoever stands still for three seconds misses it, and begins another one.
    await eventually('it is drained', async () => {
      await runs('drain', 'cluster', 'west', '--ramp', '0', '--until', '3s');
      return (await shares())['west'] === 0;
    });
    await isShared(1);
    const told = async () => (await drainMessages()).some((text) => text.includes('has come to its end'));
    await eventually('it is told', told, wait);
  });

  // Whoever runs a target had to ask everybody who runs a source.
  it('by its own wish is left by who uses it, within a probe', async () => {
    expect(await inWest('drain', '--ramp', '1s')).to.contain('This cluster asks sources to drain it to 0%');
    await eventually('it is heard', async () => ((await link())?.status?.gatewayDrain ?? '') !== '', wait);
    await isShared(0);
    await eventually('other sources are told to go', () => !own.answer(OK).ok, wait);
    // That it answers 503 now is not taken for death.
    expect(await pathOf('west')).to.equal('alive');
    expect(await runs('failover', '-n', ns)).to.match(/west +0\.00% .*alive +Drained \(Drained\)/);
    await inWest('undrain');
    await isShared(1);
    await eventually('it says nothing more', async () => (await link())?.status?.gatewayDrain === '', wait);
    // Neither there nor here was anybody told.
    expect(await eventReasonsIn(west, gatewayNs))
      .to.include('DrainStarted')
      .and.to.include('DrainDone');
    const told = async () => (await drainMessages()).some((text) => text.includes('its gateway asks for it'));
    await eventually('sources are told, too', told, wait);
  });

  describe('while somebody looks at what clients get', () => {
    let egress: Server;
    let url: string;
    let failing = false;
    const counted = { ok: 0, failed: 0 };
    const drill = (...args: string[]) => untilTaken(() => run('drill', 'cluster', 'west', ...args));

    // Stands for the egress, which has clients: each look at it finds a hundred requests more.
    before(async () => {
      egress = createServer((_, response) => {
        counted.ok += failing ? 50 : 100;
        counted.failed += failing ? 50 : 0;
        const dst = `${ns}/web-federated:80`;
        response.setHeader('content-type', 'text/plain');
        response.end(
          [
            `response_total{direction="outbound",authority="${dst}",status_code="200",classification="success"} ${counted.ok}`,
            `response_total{direction="outbound",authority="${dst}",status_code="502",classification="failure"} ${counted.failed}`,
            `outbound_group_requests_total{direction="outbound",dst="${dst}",backend="north",outcome="served"} ${counted.ok}`,
            '',
          ].join('\n'),
        );
      });
      const port = await freePort();
      await new Promise<void>((resolve) => egress.listen(port, address(18), resolve));
      url = `http://${address(18)}:${port}`;
    });
    after(() => void egress.close());
    beforeEach(() => (failing = false));

    it('is drained no further when too much fails', async () => {
      const drain = untilTaken(() =>
        run('drain', 'cluster', 'west', '--ramp', '60s', '--wait', '--egress', url),
      );
      await eventually('it begins', async () => ((await shares())['west'] ?? 1) < 1, wait);
      failing = true;
      const { code, stderr } = await drain;
      expect(code).to.equal(1);
      expect(stderr).to.contain('[DRAIN_PAUSED]').and.to.contain('of responses are failures');
      const left = (await shares())['west'] ?? 0;
      expect(left).to.be.within(0.01, 0.999);
      const said = await eventReasonsIn(east, linksNs);
      expect(said).to.include('DrainStarted').and.to.include('DrainPaused');
      // Over its ramp, which is too long for a test: one without takes its place.
      expect(await runs('undrain', 'cluster', 'west')).to.contain('its share comes back over 1m');
      await runs('drain', 'cluster', 'west', '--ramp', '0');
      await runs('undrain', 'cluster', 'west');
      await isShared(1);
    });

    it('is not said to be drained where nobody could see what clients get', async () => {
      const nobody = `http://${address(18)}:${await freePort()}`;
      const { code, stderr } = await untilTaken(() =>
        run('drain', 'cluster', 'west', '--ramp', '0', '--wait', '--egress', nobody),
      );
      expect(code).to.equal(1);
      expect(stderr)
        .to.match(/\[DRAIN_BLIND\] for \d+ s nothing was seen of what clients get: .*ECONNREFUSED/)
        .and.not.to.contain('is drained');
      await isShared(0);
      await runs('undrain', 'cluster', 'west');
      await isShared(1);
    });

    it('as a drill is given back, and reported', async () => {
      const flags = ['--kind', 'drain', '--ramp', '1s', '--for', '3s', '--egress', url, '-o', 'json'];
      const { code, stdout, stderr } = await seenMeanwhile(
        'west has nothing, for a drill',
        () => drill(...flags),
        async () => /west +0\.00% .*Drained \(DrillActive\)/.test(await runs('failover', '-n', ns)),
      );
      expect(code, stderr).to.equal(0);
      const report = JSON.parse(stdout) as DrillReport;
      expect(report).to.include({ cluster: 'west', kind: 'drain', verdict: 'PASSED' });
      expect(report.services[0]).to.include({ service: `${ns}/web-federated`, failed: 0 });
      await isShared(1);
      expect(await eventReasonsIn(east, linksNs)).to.include('DrillReport');
    });

    it('as a drill is given back and reported when nobody can see any more what clients get', async () => {
      const flags = ['--kind', 'drain', '--ramp', '1s', '--for', '10m', '--egress', url, '-o', 'json'];
      const drill = run('drill', 'cluster', 'west', ...flags);
      await isShared(0);
      const before = counted.ok;
      await eventually('it is looked at', () => counted.ok > before + 200, wait);
      egress.close();
      egress.closeAllConnections();
      const { code, stdout, stderr } = await drill;
      await new Promise<void>((resolve) => egress.listen(Number(new URL(url).port), address(18), resolve));
      expect(code).to.equal(1);
      expect(stderr).to.contain('[DRILL_BLIND] the drill of west was ended: for ');
      const report = JSON.parse(stdout) as DrillReport;
      expect(report).to.include({ cluster: 'west', kind: 'drain', verdict: 'ABORTED' });
      expect(report.services[0]?.served, 'what was seen before').to.have.property('north');
      await isShared(1);
    });

    it('as a drill is not begun where nobody could see it', async () => {
      const nobody = `http://${address(18)}:${await freePort()}`;
      const { code, stderr } = await run('drill', 'cluster', 'west', '--for', '1m', '--egress', nobody);
      expect(code).to.equal(1);
      expect(stderr).to.contain('[DRILL_BLIND]').and.to.contain('ECONNREFUSED');
      expect(await shares()).to.include({ west: 1 });
    });

    it('as a drill that takes it for dead says so to the egress, with an end, and takes the word away', async () => {
      const said = async () => readDrill((await link())?.metadata?.annotations?.['linkspan.dev/drill']);
      let found: ConnectionDrill | undefined;
      const { code, stdout, stderr } = await seenMeanwhile(
        'the egress is told',
        () => drill('--kind', 'fail', '--for', '2s', '--egress', url),
        async () => (found = await said()) !== undefined,
      );
      // The server's time comes in whole seconds: the end there must not come before the one that is
      // reported.
      expect((found?.until ?? 0) - (found?.start ?? 0)).to.equal(7000);
      expect(code, stderr).to.equal(0);
      expect(stdout).to.contain('Drill "fail" of west, 2s: PASSED');
      expect(await said()).to.equal(undefined);
    });

    // Its program was killed: the drill went on for up to an hour, and no verb ended it.
    it('as a drill that nobody looks on any more is ended by undrain', async () => {
      const now = Date.now();
      const drill = { kind: 'fail', start: now, until: now + 1_800_000, by: 'ada' } as const;
      const { namespace = '', name = '' } = (await link())?.metadata ?? {};
      const annotations = { 'linkspan.dev/drill': writeDrill(drill) };
      await change(east, links, { namespace, name }, { metadata: { annotations } });
      // Another one would replace it, and end it before its time.
      const flags = ['--kind', 'fail', '--for', '2s', '--egress', url];
      const other = await run('drill', 'cluster', 'west', ...flags);
      expect([other.code, other.stderr]).to.satisfy(
        ([code, text]: [number, string]) =>
          code === 1 && text.includes('[DRILL_DRAINED] west is drilled by ada'),
      );
      expect(await runs('undrain', 'cluster', 'west', '--dry-run')).to.equal(
        'Would end the drill "fail" of west by ada\n',
      );
      expect(await runs('undrain', 'cluster', 'west')).to.equal('The drill "fail" of west by ada is over\n');
      expect((await link())?.metadata?.annotations).not.to.have.property('linkspan.dev/drill');
    });

    it('as a drill that takes its endpoints away is told so itself, with an end', async () => {
      const there = ['--target-kubeconfig', west.kubeconfigFile, '--gateway-namespace', gatewayNs];
      const flags = ['--kind', 'endpoints', '--for', '2s', '--egress', url];
      const { code, stdout, stderr } = await seenMeanwhile(
        'the gateway hears of it',
        () => drill(...flags, ...there),
        () => own.drill?.kind === 'endpoints',
      );
      expect(code, stderr).to.equal(0);
      expect(stdout).to.contain('Drill "endpoints" of west, 2s: PASSED');
      await eventually('it is over', () => own.drill === undefined, wait);
    });

    it('is the matter of no drill meanwhile, which would give it back too soon', async () => {
      await runs('drain', 'cluster', 'west', '--ramp', '0');
      const { code, stderr } = await drill('--for', '20s', '--egress', url);
      expect([code, stderr.includes('[DRILL_DRAINED] west is drained')]).to.deep.equal([1, true]);
      expect((await shares())['west']).to.equal(0);
      await runs('undrain', 'cluster', 'west');
      await isShared(1);
    });

    it('as a drill is given up when too much fails, and that is an error', async () => {
      const given = drill('--kind', 'drain', '--ramp', '1s', '--for', '1m', '--egress', url);
      await isShared(0);
      failing = true;
      const { code, stdout } = await given;
      expect(code).to.equal(1);
      expect(stdout).to.contain('ABORTED');
      await isShared(1);
    });

    // A guide is believed; what it says has to work in that order.
    it('is taken away and given back by the commands of the guide', async () => {
      const commands = guideCommands();
      expect(commands).to.have.length.above(10);
      await change(
        east,
        services,
        { namespace: ns, name: 'web-federated' },
        {
          metadata: { annotations: { [FAILOVER_TIERS]: 'north; west' } },
        },
      );
      await isShared(0);
      for (const command of commands) {
        const target = command.includes('gateway');
        const words = command.map(
          (word) => ({ local: 'north', shop: ns, 'shop/web': `${ns}/web`, ...SHORT })[word] ?? word,
        );
        const where = target
          ? ['--kubeconfig', west.kubeconfigFile, '--gateway-namespace', gatewayNs]
          : ['--kubeconfig', east.kubeconfigFile, '--controller-namespace', linksNs];
        const egress = command.includes('drill') || command.includes('--wait') ? ['--egress', url] : [];
        const { code, stderr } = await untilTaken(() => keptLinkspan(...words, ...where, ...egress));
        expect(code, `${command.join(' ')}: ${stderr}`).to.equal(0);
      }
    });

    it('as a drill is refused where nobody else can serve', async () => {
      killNorth();
      await eventually('north is dead', async () => (await pathOf('north')) === 'dead', wait);
      const { code, stderr } = await run('drill', 'cluster', 'west', '--kind', 'fail', '--egress', url);
      expect(code).to.equal(1);
      expect(stderr).to.contain('[DRAIN_SOLE_BACKEND]');
      await openNorth();
    });
  });
});

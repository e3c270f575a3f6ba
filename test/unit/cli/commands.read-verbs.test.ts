import { expect } from 'chai';
import { Command } from 'commander';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { SCRIPTS } from '../../../src/cli/completion/completion-scripts.ts';
import { suggestions } from '../../../src/cli/completion/suggestions.ts';
import { EXAMPLES } from '../../../src/cli/output/examples.ts';
import { gatewaysText, wideText } from '../../../src/cli/output/gateways-text.ts';
import { linksText } from '../../../src/cli/output/links-text.ts';
import { gatewayRows } from '../../../src/cli/queries/gateway-rows.ts';
import { linkRows } from '../../../src/cli/queries/link-rows.ts';
import { HIDDEN, verbs } from '../../../src/cli/verbs.ts';
import { versionText } from '../../../src/cli/commands/version.ts';
import type { LinkReport } from '../../../src/api/answers/admin-answers.ts';
import { expectGolden } from '../../support/golden.ts';
import { keptLinkspan } from '../../support/linkspan.ts';
import { condition } from '../../support/link-conditions.ts';

const BIN = path.join(import.meta.dirname, '../../../bin/linkspan.js');

const address = (ip: string, state: 'alive' | 'dead', more: object = {}) => ({
  address: ip,
  state,
  reason: undefined,
  message: '',
  latencyMs: undefined,
  since: 0,
  ...more,
});
const reports: LinkReport[] = [
  {
    link: 'linkerd-multicluster/west',
    cluster: 'west',
    held: true,
    gateway: {
      path: 'alive',
      addresses: [
        address('10.0.0.1', 'alive', { latencyMs: 3.4 }),
        address('10.0.0.2', 'dead', { reason: 'ProbeTimeout', message: 'no answer within 5 s' }),
      ],
    },
  },
  {
    link: 'linkerd-multicluster/north',
    cluster: 'north',
    held: true,
    gateway: {
      path: 'dead',
      addresses: [address('10.1.0.1', 'dead', { reason: 'ProbeRefused', message: 'connection refused' })],
    },
  },
];
const counts = new Map([['west', 12]]);

/** People paste these into tickets and scripts cut columns out of them: a change is to be seen in review. */
describe('texts of the verbs that read', () => {
  it('gateways: as Linkerd prints them, sorted', () => {
    expectGolden('cli/gateways/table.txt', gatewaysText(gatewayRows(reports, counts)));
    const rates = new Map([['west/10.0.0.1', { rps: 12.34, success: 0.9995, rttMs: 20.1 }]]);
    expectGolden('cli/gateways/wide.txt', wideText(reports, gatewayRows(reports, counts), rates));
    expect(gatewaysText([])).to.equal('No linked cluster has a gateway.\n');
  });

  it("gateways: JSON with Linkerd's keys, the fastest address's latency, none for the dead", () => {
    expect(gatewayRows(reports, counts)).to.deep.equal([
      { clusterName: 'north', alive: false, numberOfServices: 0, latency: 0 },
      { clusterName: 'west', alive: true, numberOfServices: 12, latency: 3 },
    ]);
  });

  it('links: who is well, who is not and why, who keeps it', () => {
    const items = [
      {
        metadata: { name: 'west', creationTimestamp: new Date('2026-11-24T00:00:00Z') },
        spec: { targetClusterName: 'west', gatewayAddress: '10.0.0.1,10.0.0.2' },
        status: {
          mirrorCount: 12,
          conditions: [
            condition('CredentialsValid', 'True', 'Accepted'),
            condition('APIReachable', 'True', 'Connected'),
            condition('GatewayAlive', 'True', 'ProbesAnswered'),
            condition('Synced', 'True', 'AllMirrored'),
          ],
        },
      },
      {
        metadata: { name: 'north', creationTimestamp: new Date('2026-11-23T23:50:00Z') },
        spec: { targetClusterName: 'north' },
        status: {
          conditions: [
            condition(
              'CredentialsValid',
              'False',
              'SecretNotFound',
              'Secret cluster-credentials-north does not exist',
            ),
          ],
        },
      },
    ];
    const leases = [
      { metadata: { name: 'service-mirror-write-west' }, spec: { holderIdentity: 'linkspan-controller-0' } },
    ];
    const rows = linkRows(items, leases, Date.parse('2026-11-24T01:00:00Z'));
    expectGolden('cli/links/table.txt', linksText(rows));
    expect(rows.map(({ name, keptBy }) => [name, keptBy])).to.deep.equal([
      ['north', null],
      ['west', 'linkspan-controller-0'],
    ]);
  });

  it('version: of both ends, or why the other one is not known', () => {
    const server = { controller: '0.1.0', gateway: '0.1.0', 'link-crd': 'v1alpha3' };
    expect(versionText({ client: '0.2.0', server }, false)).to.equal(
      'Client version: linkspan 0.2.0\ncontroller: 0.1.0\ngateway: 0.1.0\nlink-crd: v1alpha3\n',
    );
    expect(versionText({ client: '0.2.0', problem: 'no route' }, false)).to.equal(
      'Client version: linkspan 0.2.0\nServer version: unavailable (no route)\n',
    );
    expect(versionText({ client: '0.2.0' }, true)).to.equal('0.2.0\n');
  });
});

describe('examples in the help', () => {
  const commands = new Map<string, Command>();
  before(async function () {
    for (const [name, load] of Object.entries(verbs)) {
      if (HIDDEN.has(name)) continue;
      const command = (await load())();
      if (command.commands.length === 0) commands.set(name, command);
      for (const below of command.commands) commands.set(`${name} ${below.name()}`, below);
    }
  });

  it('every verb has some, and nothing else has', () => {
    expect(Object.keys(EXAMPLES).sort()).to.deep.equal([...commands.keys()].sort());
  });

  it('they use flags that the verb has', () => {
    for (const [name, lines] of Object.entries(EXAMPLES)) {
      const flags = new Set(commands.get(name)?.options.flatMap(({ long, short }) => [long, short]));
      for (const line of lines) {
        const own = line.split(/ [|&>] ?/)[0] ?? '';
        for (const word of own.split(' ').filter((part) => part.startsWith('-')))
          expect(flags.has(word), `${name}: ${word} in: ${line}`).to.equal(true);
      }
    }
  });
});

describe('completion', () => {
  const program = new Command('linkspan');
  before(async function () {
    for (const [name, load] of Object.entries(verbs))
      if (!HIDDEN.has(name)) program.addCommand((await load())());
  });
  const asked: (readonly string[])[] = [];
  const complete = (...words: string[]) =>
    suggestions(program, words, {
      contexts: () => ['east', 'west'],
      links: (before) => {
        asked.push(before);
        return Promise.resolve(['north', 'west']);
      },
    });

  it('knows verbs of verbs', async () => {
    expect(await complete('identity', '')).to.include('anchor');
  });

  it('knows flags, contexts and formats', async () => {
    expect(await complete('mirrors', '--cont')).to.include('--context');
    expect(await complete('mirrors', '--context', 'w')).to.deep.equal(['west']);
    expect(await complete('mirrors', '-o', '')).to.deep.equal(['json', 'table', 'yaml']);
    expect(await complete('gateways', '-o', 'w')).to.deep.equal(['wide']);
    expect(await complete('mirrors', '-o', 'json', '--outp')).to.deep.equal(['--output']);
  });

  it('knows what can be explained, and asks the cluster that is named for its Links', async () => {
    expect(await complete('explain', '')).to.deep.equal(['error', 'link', 'reason', 'svc']);
    expect(await complete('explain', 'reason', 'GatewayU')).to.deep.equal([
      'GatewayUnknown',
      'GatewayUnresolved',
    ]);
    expect(await complete('explain', 'error', 'LINK_CRD')).to.deep.equal(['LINK_CRD_MISSING']);
    expect(asked).to.have.length(0);
    expect(await complete('explain', '--context', 'east', 'link', 'n')).to.deep.equal(['north']);
    expect(await complete('mirrors', '--link', '')).to.deep.equal(['north', 'west']);
    expect(asked[0]).to.deep.equal(['explain', '--context', 'east', 'link']);
    expect(await complete('completion', 'f')).to.deep.equal(['fish']);
  });

  it('as the scripts ask it: verbs at once, and nothing that is only for machines', async () => {
    expect((await keptLinkspan('complete', '--', 'mir')).stdout).to.equal('mirrors\n');
    const all = (await keptLinkspan('complete', '--', '')).stdout.split('\n');
    expect(all).to.include.members(['gateways', 'links', 'mirrors']);
    expect(all).not.to.include('label-namespace');
    expect((await keptLinkspan('complete', '--', 'links', '--kubec')).stdout).to.equal('--kubeconfig\n');
    const silent = await keptLinkspan('complete', '--', 'explain', '--kubeconfig', '/nowhere', 'link', '');
    expect(silent).to.deep.equal({ code: 0, stdout: '', stderr: '' });
  });

  it('has a script for each shell, and bash takes its own', async () => {
    for (const [shell, script] of Object.entries(SCRIPTS))
      expectGolden(`cli/completion/${shell}.txt`, script);
    const { stdout } = await promisify(execFile)(
      'bash',
      [
        '-c',
        `linkspan() { "$NODE" "$BIN" "$@"; }; ${SCRIPTS['bash'] ?? ''}
COMP_WORDS=(linkspan explain reason GatewayD); COMP_CWORD=3; _linkspan; echo "\${COMPREPLY[@]}"`,
      ],
      { env: { ...process.env, NODE: process.execPath, BIN } },
    );
    expect(stdout).to.equal('GatewayDead\n');
  });
});

describe('the program', () => {
  it('is a plugin of kubectl under its other name', async () => {
    const link = path.join(await mkdtemp(path.join(tmpdir(), 'linkspan-test-')), 'kubectl-linkspan');
    await symlink(BIN, link);
    const { stdout } = await promisify(execFile)(process.execPath, [link, 'links', '--help']);
    expect(stdout).to.match(/^Usage: kubectl linkspan links \[options\]\n/);
    await rm(path.dirname(link), { recursive: true });
  });

  it('ends quietly when nobody reads on', async () => {
    const child = spawn(process.execPath, [BIN, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    expect([code, said]).to.deep.equal([0, '']);
  });
});

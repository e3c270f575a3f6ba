import { expect } from 'chai';
import { Command } from 'commander';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { cliPage } from '../../../scripts/docs-cli.ts';
import { suggestions } from '../../../src/cli/completion.ts';
import { EXAMPLES } from '../../../src/cli/examples.ts';
import { gatewayRows, gatewaysText, wideText } from '../../../src/cli/gateways.ts';
import { linkRows, linksText } from '../../../src/cli/links.ts';
import { HIDDEN, verbs } from '../../../src/cli/verbs.ts';
import { versionText } from '../../../src/cli/version.ts';
import type { LinkReport } from '../../../src/mirror/explain.ts';
import { expectGolden } from '../../support/golden.ts';

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
    expectGolden('cli/gateways/wide.txt', wideText(reports, gatewayRows(reports, counts)));
    expect(gatewaysText([])).to.equal('No linked cluster has a gateway.\n');
  });

  it("gateways: JSON with Linkerd's keys, the fastest address's latency, none for the dead", () => {
    expect(gatewayRows(reports, counts)).to.deep.equal([
      { clusterName: 'north', alive: false, numberOfServices: 0, latency: 0 },
      { clusterName: 'west', alive: true, numberOfServices: 12, latency: 3 },
    ]);
  });

  it('links: who is well, who is not and why, who keeps it', () => {
    const condition = (type: string, status: 'True' | 'False', reason: string, message = '') => ({
      type,
      status,
      reason,
      message,
      lastTransitionTime: '2026-11-24T00:00:00Z',
    });
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

describe('docs/reference/cli.md', () => {
  it('is what the verbs say of themselves', async function () {
    // Every verb is loaded.
    this.timeout(30_000);
    const file = path.join(import.meta.dirname, '../../../docs/reference/cli.md');
    expect(readFileSync(file, 'utf8'), 'run `npm run docs:cli`').to.equal(await cliPage());
  });
});

describe('examples in the help', () => {
  const commands = new Map<string, Command>();
  before(async function () {
    this.timeout(30_000);
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
    this.timeout(30_000);
    for (const [name, load] of Object.entries(verbs))
      if (!HIDDEN.has(name)) program.addCommand((await load())());
  });
  const complete = (...words: string[]) => suggestions(program, words, () => ['east', 'west']);

  it('knows verbs, and verbs of verbs', () => {
    expect(complete('mir')).to.deep.equal(['mirrors']);
    expect(complete('')).to.include.members(['gateways', 'links', 'mirrors']);
    expect(complete('')).not.to.include('label-namespace');
    expect(complete('identity', '')).to.include('anchor');
  });

  it('knows flags, contexts and formats', () => {
    expect(complete('mirrors', '--cont')).to.include('--context');
    expect(complete('mirrors', '--context', 'w')).to.deep.equal(['west']);
    expect(complete('mirrors', '-o', '')).to.deep.equal(['json', 'table', 'yaml']);
    expect(complete('mirrors', '-o', 'json', '--outp')).to.deep.equal(['--output']);
  });
});

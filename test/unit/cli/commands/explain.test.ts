import { expect } from 'chai';
import { catalogue } from '../../../../src/api/errors/error-catalogue.ts';
import {
  codeLines,
  codeText,
  REASON_TABLES,
  reasonLines,
  reasonText,
} from '../../../../src/cli/output/explain-words.ts';
import { explainText } from '../../../../src/cli/output/explanation-text.ts';
import { linkText } from '../../../../src/cli/output/link-text.ts';
import { wideLinksText } from '../../../../src/cli/output/links-text.ts';
import { mirrorsText } from '../../../../src/cli/output/mirrors-text.ts';
import { linkRows } from '../../../../src/cli/queries/link-rows.ts';
import type { ServiceReport } from '../../../../src/api/answers/admin-answers.ts';
import { expectGolden } from '../../../support/golden.ts';
import { keptLinkspan } from '../../../support/linkspan.ts';
import { condition } from '../../../support/link-conditions.ts';

const NS = 'linkerd-multicluster';
const now = Date.parse('2026-11-24T01:00:00Z');
const west = {
  metadata: { namespace: NS, name: 'west', creationTimestamp: new Date('2026-11-24T00:00:00Z') },
  spec: { targetClusterName: 'west', gatewayAddress: '10.0.0.1' },
  status: {
    mirrorCount: 3,
    conditions: [
      condition('CredentialsValid', 'True', 'Accepted'),
      condition('APIReachable', 'True', 'Connected'),
      condition('GatewayAlive', 'False', 'ProbesFailed', '10.0.0.1: ProbeRefused'),
    ],
  },
};
const lease = { metadata: { name: 'service-mirror-write-west' }, spec: { holderIdentity: 'pod-a' } };
const report = {
  link: `${NS}/west`,
  cluster: 'west',
  held: true,
  lastWordSeconds: 2.1,
  credentialsExpireAt: '2026-12-01T00:00:00.000Z',
  mirrors: [],
};

/**
 * A word in a condition is of use to somebody at night only if one command says what it means and what to do.
 */
describe('linkspan explain', () => {
  it('says of every reason where it is met, what it means and what to do', () => {
    for (const [, table] of REASON_TABLES)
      for (const [reason, meaning] of Object.entries(table)) {
        const text = reasonText(reason);
        expect(text.meanings.map((one) => one.meaning)).to.include(meaning);
        expect(text.fix, reason).to.match(/\.$/);
      }
    expectGolden('cli/explain/reason.txt', reasonLines(reasonText('NameConflict')));
  });

  it('tells the meanings of a word that is used in two places apart', () => {
    expect(reasonText('DropHeld').meanings.map(({ of }) => of)).to.deep.equal([
      'a mirror or a federated membership',
      'an Event',
      'a condition of a Link',
    ]);
  });

  it('says of every error code what the catalogue says', () => {
    for (const [code, { meaning, fix }] of Object.entries(catalogue))
      expect(codeText(code)).to.deep.equal({ code, meaning, fix });
    expectGolden('cli/explain/error.txt', codeLines(codeText('KUBE_FORBIDDEN')));
  });

  it('takes words as they stand in tickets, and names the nearest', () => {
    expect(codeText('[kube_forbidden]').code).to.equal('KUBE_FORBIDDEN');
    expect(reasonText('missingnamespace').reason).to.equal('MissingNamespace');
    expect(() => reasonText('NamConflict')).to.throw('(did you mean "NameConflict"?)');
    expect(() => reasonText('constructor')).to.throw('there is no reason "constructor"');
    expect(() => codeText('Q')).to.throw('there is no error code "Q"');
  });

  // "--help lists them" was said of words that no help lists.
  it('where the words are, of one that there is not, and all of them where none is given', async () => {
    const said = async (...args: string[]) => {
      const { code, stdout, stderr } = await keptLinkspan('explain', ...args);
      return { code, stdout, stderr: stderr.trimEnd() };
    };
    const wrong = (stderr: string) => ({ code: 2, stdout: '', stderr: `linkspan: [USAGE] ${stderr}` });
    expect(await said('error', 'NOPE')).to.deep.equal(
      wrong(
        'explain: there is no error code "NOPE". `linkspan explain error` (docs/reference/errors.md) lists them.',
      ),
    );
    expect(await said('reason', 'NOPE')).to.deep.equal(
      wrong(
        'explain: there is no reason "NOPE". `linkspan explain reason` (docs/reference/reasons.md) lists them.',
      ),
    );
    expect(await said('foo', 'bar')).to.deep.equal(
      wrong(
        'explain: "foo" cannot be explained, only svc, link, reason, error. `linkspan explain --help` says what there is.',
      ),
    );
    expect(await said('link')).to.deep.equal(
      wrong("missing required argument 'name'. `linkspan explain --help` says what there is."),
    );
    const reasons = await said('reason');
    for (const [, table] of REASON_TABLES)
      for (const reason of Object.keys(table))
        expect(reasons.stdout).to.match(new RegExp(`^${reason} +\\S`, 'm'));
    const codes = await said('error');
    for (const code of Object.keys(catalogue))
      expect(codes.stdout).to.match(new RegExp(`^${code} +\\S`, 'm'));
  });

  it('a Link: each condition with what it means, and what to do where it is not well', () => {
    const [row] = linkRows([west], [lease], now, [report]);
    expectGolden('cli/explain/link.txt', row === undefined ? '' : linkText(row));
    expectGolden('cli/links/wide.txt', wideLinksText(linkRows([west], [lease], now, [report])));
  });

  // Local members of federated Services had verdicts that stood in debug lines only.
  it("a member of this cluster's own: without a Link, a gateway or a last word", () => {
    const text = explainText(
      [
        {
          link: 'local',
          cluster: 'local',
          service: 'demo/web',
          local: 'web-federated',
          kind: 'federated',
          exported: true,
          selectedBy: 'federatedServiceSelector',
          mode: 'federated, pods',
          namespace: 'exists',
          reason: 'NameConflict',
          meaning: 'somebody else has it',
          message: 'Service demo/web-federated is not ours',
          remote: { ready: 1, known: 2, certain: true },
          clusterIP: null,
          endpoints: [],
          gateway: null,
          synced: true,
          apiError: null,
          lastWordSeconds: null,
        },
      ],
      [],
      'demo/web',
    );
    expectGolden('cli/explain/local-member.txt', text);
  });

  it('what a controller could not write, of a Link and in the list of mirrors', () => {
    const unwritten = ['status: denied the request', 'Events: denied the request'];
    const [row] = linkRows([west], [lease], now, [{ ...report, unwritten }]);
    expect(row === undefined ? '' : linkText(row)).to.match(
      /^Not written +status: denied the request\n +Events: denied the request$/m,
    );
    expect(mirrorsText([{ ...report, unwritten }])).to.contain(
      `Link ${NS}/west: what is known could not be written: status: denied the request\n`,
    );
  });

  it('a Link whose import policy keeps things out: what it says, and what that did', () => {
    const link = {
      ...west,
      metadata: {
        ...west.metadata,
        annotations: { 'linkspan.dev/import-namespaces': 'shop', 'other.example/note': 'x' },
      },
    };
    const refused = (name: string): ServiceReport => ({
      service: `bank/${name}`,
      local: `${name}-west`,
      mode: 'gateway',
      reason: 'ImportNamespaceRefused',
      message: 'the Link takes nothing from namespace bank',
      since: '',
      endpoints: 0,
    });
    const mirrors = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(refused);
    const [row] = linkRows([link], [lease], now, [{ ...report, mirrors }]);
    expect(row?.importPolicy).to.deep.equal({ 'linkspan.dev/import-namespaces': 'shop' });
    expect(row?.refusedImports).to.have.length(7);
    expectGolden('cli/explain/link-imports.txt', row === undefined ? '' : linkText(row));
  });

  it("another controller's reason stands as it is", () => {
    const link = {
      ...west,
      status: { conditions: [condition('Synced', 'False', 'OfAnotherController', 'so')] },
    };
    const [row] = linkRows([link], [], now);
    expect(row === undefined ? '' : linkText(row)).to.match(/^Synced +False  OfAnotherController: so\n$/m);
  });

  it('a Link of which no controller speaks', () => {
    const [row] = linkRows([west], [], now);
    expect(row).to.include({ keptBy: null, lastWordSeconds: null, credentialsExpireAt: null });
    expectGolden('cli/explain/link-silent.txt', row === undefined ? '' : linkText(row));
  });
});

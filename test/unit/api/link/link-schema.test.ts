import { expect } from 'chai';
import * as fc from 'fast-check';
import { keyTest } from '../../../../src/api/link/import-policy.ts';
import { parseLink, type LinkSpec } from '../../../../src/api/link/link-schema.ts';
import { parseSelector, parseSelectorText } from '../../../../src/api/kubernetes/label-selector.ts';
import { nextConditions } from '../../../../src/api/link/link-status.ts';

const good: LinkSpec = {
  targetClusterName: 'west',
  targetClusterDomain: 'cluster.local',
  targetClusterLinkerdNamespace: 'linkerd',
  clusterCredentialsSecret: 'cluster-credentials-west',
  gatewayAddress: '10.0.0.1, gw.example.com,10.0.0.1',
  gatewayPort: '4143',
  gatewayIdentity: 'gw.identity',
  probeSpec: { path: '/ready', port: '4191', period: '3s' },
  selector: { matchLabels: { 'mirror.linkerd.io/exported': 'true' } },
};

describe('parseLink', () => {
  it('reads what `linkerd multicluster link-gen` prints', () => {
    const verdict = parseLink({ metadata: { name: 'west', namespace: 'linkerd-multicluster' }, spec: good });
    expect(verdict).to.have.property('ok', true);
    if (!verdict.ok) return;
    expect(verdict.link.gateway).to.deep.equal({
      addresses: ['10.0.0.1', 'gw.example.com'],
      port: 4143,
      identity: 'gw.identity',
    });
    expect(verdict.link.probe).to.deep.equal({
      path: '/ready',
      port: 4191,
      periodMs: 3000,
      timeoutMs: 30_000,
      failureThreshold: 3,
    });
    expect(verdict.link.selector.toString()).to.equal('mirror.linkerd.io/exported=true');
    expect(verdict.link.federatedServiceSelector.empty).to.equal(true);
  });

  const bad: readonly [string, LinkSpec, string][] = [
    ['port "abc"', { ...good, gatewayPort: 'abc' }, 'spec.gatewayPort'],
    ['no cluster name', { ...good, targetClusterName: '' }, 'spec.targetClusterName'],
    [
      'a cluster name that cannot be a suffix',
      { ...good, targetClusterName: 'West_1' },
      'spec.targetClusterName',
    ],
    [
      'the name that stands for the source cluster itself',
      { ...good, targetClusterName: ' local ' },
      'spec.targetClusterName',
    ],
    ['no credentials', { ...good, clusterCredentialsSecret: '' }, 'spec.clusterCredentialsSecret'],
    ['an address that is none', { ...good, gatewayAddress: 'a b' }, 'spec.gatewayAddress'],
    ['a gateway without an identity', { ...good, gatewayIdentity: '' }, 'spec.gatewayIdentity'],
    ['a probe period that is none', { ...good, probeSpec: { period: 'soon' } }, 'spec.probeSpec.period'],
    ['a probe without a port', { ...good, probeSpec: { path: '/ready' } }, 'spec.probeSpec.port'],
    [
      'an exported label that YAML made a boolean',
      { ...good, selector: { matchLabels: { exported: true as unknown as string } } },
      'spec.selector',
    ],
    [
      'a selector with an unknown operator',
      { ...good, selector: { matchExpressions: [{ key: 'a', operator: 'Like' }] } },
      'spec.selector',
    ],
  ];
  for (const [story, spec, field] of bad) {
    it(`names the field: ${story}`, () => {
      const verdict = parseLink({ metadata: { name: 'west' }, spec });
      expect(!verdict.ok && verdict.problems.map((problem) => problem.field)).to.deep.equal([field]);
    });
  }

  it('never throws, whatever the object holds', () => {
    fc.assert(
      fc.property(fc.object(), (spec) => typeof parseLink({ spec: spec as LinkSpec }).ok === 'boolean'),
    );
  });

  it('answers in sentences of its own, never in those of the JavaScript engine', () => {
    const shapes = fc.oneof(
      fc.jsonValue(),
      fc.array(fc.jsonValue()),
      fc.dictionary(fc.string(), fc.jsonValue()),
    );
    fc.assert(
      fc.property(shapes, shapes, fc.jsonValue(), (matchLabels, matchExpressions, values) => {
        const nested = [matchExpressions, { key: 'a', operator: 'In', values }];
        for (const expressions of [matchExpressions, nested]) {
          const selector = { matchLabels, matchExpressions: expressions } as unknown as LinkSpec['selector'];
          const verdict = parseLink({ spec: { ...good, selector } as LinkSpec });
          const said = verdict.ok ? '' : verdict.problems.map(({ problem }) => problem).join('\n');
          expect(said).to.not.match(/is not a function|not iterable|Cannot (read|convert|destructure)/);
        }
      }),
    );
  });
});

describe('Link selectors', () => {
  it('select nothing when empty, never everything (linkerd2#11309)', () => {
    for (const selector of [undefined, {}, { matchLabels: {} }]) {
      expect(parseSelector(selector).matches({ any: 'thing' })).to.equal(false);
    }
  });

  const texts: readonly [string, Record<string, string>, boolean][] = [
    ['a=b', { a: 'b' }, true],
    ['a=b', { a: 'c' }, false],
    ['a in (b, c),!d', { a: 'c' }, true],
    ['a in (b, c),!d', { a: 'c', d: '' }, false],
    ['a notin (b)', {}, true],
    ['a!=b', { a: 'b' }, false],
    ['a', { a: '' }, true],
  ];
  for (const [text, labels, expected] of texts) {
    it(`${text} ${expected ? 'selects' : 'does not select'} ${JSON.stringify(labels)}`, () => {
      const selector = parseSelector(parseSelectorText(text));
      expect(selector.matches(labels)).to.equal(expected);
      expect(parseSelector(parseSelectorText(selector.toString())).matches(labels)).to.equal(expected);
    });
  }

  it('keep both halves of a contradiction: a=b,a=c selects nothing, not a=c', () => {
    const selector = parseSelector(parseSelectorText('a=b,a=c'));
    expect([selector.matches({ a: 'b' }), selector.matches({ a: 'c' })]).to.deep.equal([false, false]);
  });

  it('print the empty selector as something that the API server matches to nothing', () => {
    const printed = parseSelector(parseSelectorText(parseSelector({}).toString()));
    expect([printed.empty, printed.matches({}), printed.matches({ 'linkspan.dev/none': '' })]).to.deep.equal([
      false,
      false,
      false,
    ]);
  });

  it('refuse what is no requirement', () => {
    expect(() => parseSelectorText('a b')).to.throw('"a b"');
  });
});

describe('exclusions', () => {
  it('match a group exactly: evil.io/* does not drop evil.iot/b (a defect of Linkerd)', () => {
    const excluded = keyTest(['evil.io/*', 'one']);
    expect(['evil.io/a', 'evil.iot/b', 'one', 'evil.io', 'two'].map((key) => excluded(key))).to.deep.equal([
      true,
      false,
      true,
      false,
      false,
    ]);
  });
});

describe('conditions', () => {
  it('keep the time of their last change of status', () => {
    const before = [
      {
        type: 'Synced',
        status: 'True',
        reason: 'AllMirrored',
        message: '',
        lastTransitionTime: '2026-01-01T00:00:00Z',
      },
    ] as const;
    const same = nextConditions(
      before,
      [{ type: 'Synced', status: 'True', reason: 'AllMirrored', message: 'x' }],
      Date.UTC(2026, 5, 1),
    );
    expect(same[0]?.lastTransitionTime).to.equal('2026-01-01T00:00:00Z');
    const changed = nextConditions(
      before,
      [{ type: 'Synced', status: 'False', reason: 'Waiting', message: '' }],
      Date.UTC(2026, 5, 1),
    );
    expect(changed[0]?.lastTransitionTime).to.equal('2026-06-01T00:00:00Z');
  });
});

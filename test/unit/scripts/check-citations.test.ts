import { expect } from 'chai';
import { anchorsOf, citationViolations } from '../../../scripts/check-citations.ts';

const BASE = {
  'package.json': '{"scripts":{"check":"x"}}',
  'src/base/clock.ts': '',
  'docs/reference/wire-protocol.md': '## 1. A\n\n### 1.3 B\n',
  'docs/adr/0016-limits.md': '# 0016: limits\n',
  'docs/guides/start.md': '# Start\n\n## On `kind` clusters\n',
};

/** What is said of a tree with one file more. */
const of = (file: string, text: string) =>
  citationViolations(new Map(Object.entries({ ...BASE, [file]: text })));

/**
 * Sixteen comments cited sections of a page that no reader of the repo has, and architecture.md two files of
 * a folder outside.
 */
describe('citations', () => {
  it('of files are of files that are there, by path, end of path or name', () => {
    const good = '/** See `src/base/clock.ts`, `base/clock.ts`, `clock.ts`, src/base and docs/adr/. */';
    expect(of('src/x.ts', good)).to.deep.equal([]);
    expect(of('src/x.ts', '\n/** See `src/base/gone.ts`. */')).to.deep.equal([
      'src/x.ts:2: there is no src/base/gone.ts',
    ]);
    for (const cited of ['mirror/clock.ts', 'gone.ts', '../shared/reference/notes.md', 'src/gone'])
      expect(of('src/x.ts', `// as in ${cited}\n`), cited).to.have.length(1);
    expect(of('docs/x.md', 'against haproxy (`reference/notes.md`)')).to.have.length(1);
  });

  it('in strings are looked at where they begin at the root, also in messages and URLs of ours', () => {
    expect(of('src/x.ts', `const a = 'gone.ts';`)).to.deep.equal([]);
    expect(of('src/x.ts', `const a = 'see docs/reference/gone.md';`)).to.have.length(1);
    const url = 'https://github.com/linkspan/linkspan/blob/main/docs/guides/start.md';
    expect(of('src/x.ts', `const a = '${url}#on-kind-clusters';`)).to.deep.equal([]);
    expect(of('src/x.ts', `const a = '${url}#gone';`)).to.deep.equal([
      'src/x.ts:1: docs/guides/start.md has no heading #gone',
    ]);
    expect(of('charts/x/values.yaml', '# docs/reference/gone.md says more\n')).to.have.length(1);
  });

  it('that are links of pages lead to a file and to a heading', () => {
    const links =
      '[a](../guides/start.md#on-kind-clusters) [b](#here) [c](https://example.com/x.md) [d](../adr)\n# Here';
    expect(of('docs/reference/x.md', links)).to.deep.equal([]);
    expect(of('docs/reference/x.md', '[a](start.md)')).to.deep.equal([
      'docs/reference/x.md:1: there is no docs/reference/start.md',
    ]);
    expect(of('docs/x.md', '[a](guides/start.md#gone)')).to.have.length(1);
    expect(of('docs/x.md', '[a](#gone)')).to.have.length(1);
  });

  it('of the wire protocol are of sections that are there, each of several', () => {
    expect(of('src/x.ts', '/** (wire protocol 1 and 1.3) */')).to.deep.equal([]);
    expect(of('src/x.ts', '/** (wire protocol 1.3, 1.4 and 2) */')).to.deep.equal([
      'src/x.ts:1: docs/reference/wire-protocol.md has no section 1.4',
      'src/x.ts:1: docs/reference/wire-protocol.md has no section 2',
    ]);
    expect(of('src/x.ts', '/** (wire reference 1.3) */')).to.deep.equal([
      'src/x.ts:1: the page is called "wire protocol", not "wire reference"',
    ]);
  });

  it('of ADRs and npm scripts are of those that are there', () => {
    expect(of('docs/x.md', 'ADR 0016, `npm run check`')).to.deep.equal([]);
    expect(of('docs/x.md', 'ADR 0017, `npm run gone:now`')).to.deep.equal([
      'docs/x.md:1: there is no ADR 0017',
      'docs/x.md:1: package.json has no script "gone:now"',
    ]);
  });
});

describe('anchors of headings', () => {
  it('are those of GitHub', () => {
    const page =
      '# A `b`, c: [d](e.md)\n```\n# not\n```\n## Same\n## Same\n<a id="own"></a>\n### Über_x – y\n';
    expect([...anchorsOf(page)]).to.have.members(['own', 'a-b-c-d', 'same', 'same-1', 'über_x--y']);
  });
});

import { expect } from 'chai';
import { graphsOf, importsOf, violations } from '../../../scripts/check-imports.ts';
import { circlesOf, circleViolations, wayAround } from '../../../scripts/circles.ts';

describe('import rule', () => {
  it('lets imports point down', () => {
    expect(
      violations('gateway/a.ts', `import { x } from '../proxy/x.ts';\nimport '../base/y.ts';`),
    ).to.deep.equal([]);
  });

  it('refuses imports that point up or sideways', () => {
    expect(violations('base/a.ts', `import { x } from '../kube/x.ts';`)).to.have.length(1);
    expect(violations('gateway/a.ts', `export { x } from '../egress/x.ts';`)).to.have.length(1);
    expect(violations('proxy/a.ts', `const x = await import('../discovery/x.ts');`)).to.have.length(1);
  });

  it('keeps Kubernetes out of proxy and sockets out of reconcilers', () => {
    expect(violations('proxy/a.ts', `import { V1Pod } from '@kubernetes/client-node';`)).to.have.length(1);
    expect(violations('controllers/mirror/a.ts', `import net from 'node:net';`)).to.have.length(1);
  });

  it('lets what runs in a browser take what is served, and types of all below it', () => {
    const found = (text: string) => violations('dashboard/page/a.ts', text).length;
    for (const text of [
      `import { x } from './x.ts';`,
      `import { x } from '../snapshot.ts';`,
      `import type { X } from '../../traffic/x.ts';`,
      `import { h } from 'preact';`,
      `const { y } = await import('./y.ts');`,
    ])
      expect(found(text), text).to.equal(0);
    for (const text of [
      `import { x } from '../../traffic/x.ts';`,
      `import { x } from '../page-files.ts';`,
      `import path from 'node:path';`,
      `import { z } from 'zod';`,
      `import type { X } from '../../cli/x.ts';`,
    ])
      expect(found(text), text).to.equal(1);
    expect(violations('dashboard/a.ts', `import { x } from './page/x.ts';`)).to.have.length(1);
  });

  it('sees imports over several lines', () => {
    expect(violations('base/a.ts', `import {\n  x,\n  y,\n} from '../cli/x.ts';`)).to.have.length(1);
  });

  it('sees imports with comments in them, whatever the comments say', () => {
    const text = `import {\n  // it's "x"; from here\n  x, /* 'y' */\n} from '../cli/x.ts';`;
    expect(violations('base/a.ts', text)).to.have.length(1);
  });

  it('is through with a list of many comments', () => {
    // Each comment could be read in as many ways as it is long: a chain of policies with a comment a line
    // never came to an end.
    const chain = Array.from(
      { length: 40 },
      (_, n) => `    // Make sure of it, number ${n}.\n    check${n},\n`,
    );
    expect(violations('base/a.ts', `export const chain = [\n${chain.join('')}];\n`)).to.deep.equal([]);
  });

  it('holds for imports of types', () => {
    for (const text of [
      `import type { X } from '../cli/x.ts';`,
      `import { type X } from '../cli/x.ts';`,
      `export type { X } from '../cli/x.ts';`,
      `type X = import('../cli/x.ts').X;`,
    ])
      expect(violations('base/a.ts', text), text).to.have.length(1);
  });

  it('holds within a folder whose parts have an order', () => {
    expect(violations('proxy/http2/a.ts', `import { x } from '../io/b.ts';`)).to.deep.equal([]);
    expect(violations('proxy/http2/a.ts', `import type { X } from '../upstream/b.ts';`)).to.deep.equal([
      'src/proxy/http2/a.ts: its folder must not import proxy/upstream/ ("../upstream/b.ts")',
    ]);
    // One of which nothing is said is a mistake of the rule.
    expect(violations('proxy/new/a.ts', `import { x } from '../http/b.ts';`)).to.have.length(1);
  });

  it('keeps folders that stand apart from what is around them', () => {
    expect(violations('gateway/authorization/a.ts', `import { x } from './b.ts';`)).to.deep.equal([]);
    expect(violations('gateway/authorization/a.ts', `import { x } from '../../base/b.ts';`)).to.deep.equal(
      [],
    );
    expect(violations('gateway/authorization/a.ts', `import type { X } from '../gateway.ts';`)).to.deep.equal(
      [
        'src/gateway/authorization/a.ts: gateway/authorization/ must not import what is around it ("../gateway.ts")',
      ],
    );
  });
});

describe('imports of a file', () => {
  it('are of types only where every name is', () => {
    const of = (text: string) => importsOf('a/b.ts', text).map(({ file, typesOnly }) => [file, typesOnly]);
    expect(of(`import type { X } from './c.ts';`)).to.deep.equal([['a/c.ts', true]]);
    expect(of(`import { type X, type Y } from '../c.ts';`)).to.deep.equal([['c.ts', true]]);
    expect(of(`import { type X, y } from './c.ts';`)).to.deep.equal([['a/c.ts', false]]);
    expect(of(`import './c.ts';\nimport x from 'x';`)).to.deep.equal([
      ['a/c.ts', false],
      [undefined, false],
    ]);
  });
});

/**
 * The linter's rule looks away from types, so thirteen files of the data path, each of which needs all others
 * to be understood, passed it.
 */
describe('circles', () => {
  const graph = (edges: Record<string, string>) =>
    new Map(Object.entries(edges).map(([from, to]) => [from, new Set(to.split(' '))]));
  const two = graph({ a: 'b', b: 'a c', c: 'd', d: 'x' });

  it('are those who reach each other, with the shortest way around', () => {
    expect(circlesOf(two)).to.deep.equal([['a', 'b']]);
    expect(circlesOf(graph({ a: 'b', b: 'c', c: 'a d', d: 'e', e: 'd' }))).to.deep.equal([
      ['a', 'b', 'c'],
      ['d', 'e'],
    ]);
    expect(wayAround(graph({ a: 'b', b: 'c a', c: 'a' }), 'a')).to.deep.equal(['a', 'b', 'a']);
  });

  it('are of types, too, and of folders', () => {
    const { files, folders, typesOnly } = graphsOf(
      new Map([
        ['a/x.ts', `import type { Y } from './y.ts';\nimport { z } from '../b/z.ts';`],
        ['a/y.ts', `import { x } from './x.ts';`],
        ['b/z.ts', `import type { W } from '../a/w.ts';`],
        ['a/w.ts', ''],
      ]),
    );
    expect(circlesOf(files)).to.deep.equal([['a/x.ts', 'a/y.ts']]);
    expect(circlesOf(folders)).to.deep.equal([['a', 'b']]);
    expect([...typesOnly]).to.deep.equal(['a/x.ts → a/y.ts', 'b/z.ts → a/w.ts']);
  });

  it('are refused, but for known ones and parts of them', () => {
    expect(circleViolations('files', two, {})).to.deep.equal(['new circle of files: a → b → a']);
    expect(circleViolations('files', two, { known: ['a', 'b'] })).to.deep.equal([]);
    const three = graph({ a: 'b', b: 'a c', c: 'b' });
    expect(circleViolations('files', three, { known: ['a', 'b'] })).to.deep.equal([
      'new circle of files: c → b → c',
    ]);
    // Two known ones that have become one.
    const four = graph({ a: 'b', b: 'a c', c: 'd', d: 'c a' });
    expect(circleViolations('files', four, { one: ['a', 'b'], other: ['c', 'd'] })).to.have.length(1);
  });

  it('that are known may only shrink', () => {
    expect(circleViolations('files', two, { known: ['a', 'b', 'c'], gone: ['y'] })).to.deep.equal([
      'c is in no circle of files any more: take it out of "known"',
      'y is in no circle of files any more: take it out of "gone"',
    ]);
  });
});

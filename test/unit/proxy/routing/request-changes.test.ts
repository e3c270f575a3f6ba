import { expect } from 'chai';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import { changedFields, changedPath, locationOf } from '../../../../src/proxy/routing/request-changes.ts';

const prefix = (value: string) => ({ kind: 'prefix', value }) as const;
const full = (value: string) => ({ kind: 'full', value }) as const;

describe('what filters change', () => {
  // The table of HTTPPathModifier (Gateway API).
  for (const [path, matched, value, result] of [
    ['/foo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo', '/xyz/', '/xyz/bar'],
    ['/foo', '/foo', '/xyz', '/xyz'],
    ['/foo/', '/foo', '/xyz', '/xyz/'],
    ['/foo/bar', '/foo', '/', '/bar'],
    ['/foo/', '/foo', '/', '/'],
    ['/foo', '/foo', '/', '/'],
    ['/foo?a=b', '/foo', '/xyz', '/xyz?a=b'],
    ['/foo', '', '/xyz', '/xyz/foo'],
    ['*', '', '/xyz', '*'],
  ] as const)
    it(`replaces the prefix ${matched} of ${path} by ${value}`, () =>
      expect(changedPath(path, prefix(value), matched)).to.equal(result));

  it('replaces a whole path, but not its query', () => {
    expect(changedPath('/foo/bar?a=b', full('/x'), '')).to.equal('/x?a=b');
  });

  it('sets, adds and removes fields', () => {
    const fields = [
      ['x-set', '1'],
      ['x-set', '2'],
      ['x-added', 'a'],
      ['x-gone', 'x'],
      ['x-kept', 'k'],
    ].map(([name = '', value = '']) => makeField(name, value));
    const change = {
      set: [['x-set', '3']],
      add: [['x-added', 'b']],
      remove: ['x-gone', 'x-never'],
    } as const;
    expect(changedFields(fields, change).map(({ lower, value }) => [lower, value])).to.deep.equal([
      ['x-added', 'a'],
      ['x-kept', 'k'],
      ['x-set', '3'],
      ['x-added', 'b'],
    ]);
  });

  const asked = { path: '/a?q', authority: 'web.demo.svc.cluster.local:8080' };
  for (const [redirect, location] of [
    [{ path: full('/b') }, '/b?q'],
    [{ hostname: 'x.example' }, 'http://x.example:8080/a?q'],
    [{ hostname: 'x.example', port: 80 }, 'http://x.example/a?q'],
    [{ scheme: 'https' }, 'https://web.demo.svc.cluster.local/a?q'],
    [{ scheme: 'https', port: 8443 }, 'https://web.demo.svc.cluster.local:8443/a?q'],
    [{ port: 81 }, 'http://web.demo.svc.cluster.local:81/a?q'],
  ] as const)
    it(`redirects to ${location}`, () =>
      expect(locationOf({ ...redirect, status: 302 }, asked, '')).to.equal(location));

  // A link to `web/a//evil.example`, with a redirect of `/a` to `/`, led its reader to another host.
  for (const [path, redirect, matched] of [
    ['/a//evil.example/x', { path: prefix('/') }, '/a'],
    ['/a/\\evil.example/x', { path: prefix('/') }, '/a'],
    ['//evil.example/x', {}, ''],
    ['/any', { path: full('//evil.example/x') }, ''],
  ] as const)
    it(`leads to no other host for ${path}`, () => {
      const location = locationOf({ ...redirect, status: 302 }, { path, authority: 'web' }, matched);
      const found = new URL(location, 'http://asked.example/before');
      expect([found.host, found.pathname]).to.deep.equal(['asked.example', '//evil.example/x']);
    });
});

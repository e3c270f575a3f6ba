import { expect } from 'chai';
import { imageViolations, lockViolations, manifestViolations } from '../../../scripts/check-lock.ts';

const hash = `sha512-${'A'.repeat(86)}==`;

/** 29 entries of the lock file had no hash, and Node itself came outside it: whoever answered for the registry ran code here. */
describe('what is installed', () => {
  it('is refused without a SHA-512', () => {
    expect(lockViolations({ '': {}, 'node_modules/a': { version: '1.0.0' } })[0]).to.match(
      /a has no SHA-512/,
    );
    expect(lockViolations({ 'node_modules/a': { integrity: 'sha1-AAAA' } })).to.have.length(1);
    expect(lockViolations({ 'node_modules/a': { integrity: hash } })).to.deep.equal([]);
  });

  it('comes from the registry', () => {
    const entry = (resolved: string) => ({ 'node_modules/a': { integrity: hash, resolved } });
    expect(lockViolations(entry('git+ssh://git@github.com/a/b.git#1'))).to.have.length(1);
    expect(lockViolations(entry('https://registry.npmjs.org/a/-/a-1.0.0.tgz'))).to.deep.equal([]);
    expect(lockViolations({ 'node_modules/a': { integrity: hash, link: true } })).to.have.length(1);
  });

  it('is pinned to one version, dependencies of all kinds', () => {
    for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies'])
      expect(manifestViolations({ [kind]: { a: '^1.0.0' } }), kind).to.have.length(1);
    expect(manifestViolations({ dependencies: { a: '1.0.0' } })).to.deep.equal([]);
  });

  it('runs no install script that nobody looked at', () => {
    expect(manifestViolations({ allowScripts: { evil: true } })).to.have.length(1);
    expect(manifestViolations({ allowScripts: { evil: false, bun: true } })).to.deep.equal([]);
  });

  it('stands on base images that are named by digest', () => {
    expect(imageViolations('FROM node:26-slim AS build\nFROM build\n')).to.deep.equal([
      'Dockerfile: node:26-slim is not named by digest',
    ]);
    expect(imageViolations('FROM --platform=x node@sha256:00 AS build\nFROM build\n')).to.deep.equal([]);
  });
});

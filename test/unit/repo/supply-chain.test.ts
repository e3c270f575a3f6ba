import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  imageViolations,
  lockViolations,
  manifestViolations,
  sbomViolations,
} from '../../../scripts/check-lock.ts';
import { root } from '../../support/runtime-process.ts';

const hash = `sha512-${'A'.repeat(86)}==`;

/**
 * 29 entries of the lock file had no hash, and Node itself came outside it: whoever answered for the registry
 * ran code here.
 */
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

  const digest = `node@sha256:${'0'.repeat(64)}`;

  it('stands on base images that are named by digest', () => {
    expect(imageViolations('FROM node:26-slim AS build\nFROM build\n')).to.deep.equal([
      'Dockerfile: node:26-slim is not named by digest',
    ]);
    expect(imageViolations(`FROM --platform=x ${digest} AS build\nFROM build\n`)).to.deep.equal([]);
    // Half a digest, a variable that who builds sets, and what is only copied from.
    expect(imageViolations('FROM node@sha256:00\n')).to.have.length(1);
    expect(imageViolations('ARG BASE=node\nFROM $BASE\n')).to.have.length(1);
    expect(imageViolations('from node:26\n')).to.have.length(1);
    expect(imageViolations(`FROM ${digest} AS build\nCOPY --from=build a b\n`)).to.deep.equal([]);
    expect(imageViolations(`FROM ${digest}\nCOPY --from=busybox:1 a b\n`)).to.deep.equal([
      'Dockerfile: busybox:1 is not named by digest',
    ]);
  });

  // The image's contents were listed nowhere, so nobody could tell whether an advisory was about it.
  it('is listed in an SBOM, which is in the image', () => {
    const build = 'RUN npm prune --omit=dev \\\n  && npm sbom --sbom-format cyclonedx > sbom.cdx.json\n';
    const image = `FROM ${digest}\nCOPY --from=build /app/package.json /app/sbom.cdx.json ./\n`;
    expect(sbomViolations(`FROM ${digest} AS build\n${build}${image}`)).to.deep.equal([]);
    expect(sbomViolations(`FROM ${digest} AS build\n${image}`)).to.have.length(1);
    expect(sbomViolations(`FROM ${digest} AS build\n# ${build}${image}`)).to.have.length(1);
    expect(sbomViolations(`FROM ${digest} AS build\n${build}FROM ${digest}\n`)).to.have.length(1);
    expect(
      sbomViolations(
        `FROM ${digest} AS build\nRUN npm sbom > sbom.cdx.json\nRUN npm prune --omit=dev\n${image}`,
      ),
    ).to.have.length(1);
  });

  it('is so in our own Dockerfile', () => {
    const ours = readFileSync(path.join(root, 'Dockerfile'), 'utf8');
    expect(imageViolations(ours)).to.deep.equal([]);
    expect(sbomViolations(ours)).to.deep.equal([]);
    expect(imageViolations(ours.replaceAll(/@sha256:[0-9a-f]+/g, ''))).to.have.length(2);
    expect(sbomViolations(ours.replace('npm sbom', 'true'))).to.have.length(1);
    expect(sbomViolations(ours.replace(' /app/sbom.cdx.json', ''))).to.have.length(1);
  });
});

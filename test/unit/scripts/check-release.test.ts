import { expect } from 'chai';
import { changelogViolations, releaseViolations, versionViolations } from '../../../scripts/check-release.ts';

const chart = (version: string) => `version: ${version}\nappVersion: ${version}\n`;
const BASE: Readonly<Record<string, string>> = {
  'package.json': '{"version":"0.2.0"}',
  'package-lock.json': '{"version":"0.2.0","packages":{"":{"version":"0.2.0"}}}',
  'charts/linkspan/Chart.yaml': chart('0.2.0'),
  'charts/linkspan-crds/Chart.yaml': chart('0.2.0'),
  'CHANGELOG.md':
    '# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n### Added\n\n- A.\n\n### Fixed\n\n- B.\n',
};
const read =
  (other: Readonly<Record<string, string>> = {}) =>
  (file: string) =>
    ({ ...BASE, ...other })[file] ?? '';

/**
 * A release is a number in six places and a section that a person writes; one of them forgotten is found by
 * the users.
 */
describe('a release', () => {
  it('has one version in all files', () => {
    expect(versionViolations(read())).to.deep.equal([]);
    expect(versionViolations(read({ 'charts/linkspan/Chart.yaml': chart('0.1.0') }))).to.deep.equal([
      'charts/linkspan/Chart.yaml, version is 0.1.0, package.json 0.2.0',
      'charts/linkspan/Chart.yaml, appVersion is 0.1.0, package.json 0.2.0',
    ]);
  });

  it('has a dated section of the changelog, and nothing is unreleased', () => {
    expect(releaseViolations('0.2.0', read())).to.deep.equal([]);
    expect(releaseViolations('0.3.0', read())).to.have.length(2);
    const left = BASE['CHANGELOG.md']?.replace('[Unreleased]\n', '[Unreleased]\n\n### Fixed\n\n- C.\n') ?? '';
    expect(releaseViolations('0.2.0', read({ 'CHANGELOG.md': left }))).to.deep.equal([
      'CHANGELOG.md has entries that are unreleased',
    ]);
  });
});

describe('the changelog', () => {
  const of = (body: string) => changelogViolations(`# Changelog\n\n## [Unreleased]\n\n${body}`);

  it('has the headings of Keep a Changelog, in their order, and dates', () => {
    expect(of('### Added\n\n- A.\n\n### Fixed\n\n- B.\n\n### Upgrade notes\n\n- C.\n')).to.deep.equal([]);
    expect(of('### The gateway in the open\n\n- A.\n')).to.have.length(1);
    expect(of('### Fixed\n\n- A.\n\n### Added\n\n- B.\n')).to.deep.equal([
      'CHANGELOG.md: Unreleased: "Added" is not in its place',
    ]);
    expect(of('### Added\n\n- A.\n\n### Added\n\n- B.\n')).to.have.length(1);
    expect(changelogViolations('# Changelog\n\n## [0.2.0]\n')).to.have.length(2);
  });

  it('says at the beginning of an entry what breaks, and what to do then', () => {
    const good =
      '### Changed\n\n- **Breaking:** A.\n- **Changed default:** B.\n\n### Upgrade notes\n\n- A.\n';
    expect(of(good)).to.deep.equal([
      'CHANGELOG.md: Unreleased: 2 entries break or change a default, and there are 1 upgrade notes',
    ]);
    expect(of(`${good}- B.\n`)).to.deep.equal([]);
    expect(of('### Changed\n\n- Much. **Changed defaults:** B.\n')).to.have.length(1);
  });
});

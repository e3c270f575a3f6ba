import { expect } from 'chai';
import { isListed } from '../../../../src/api/ports/port-list.ts';
import { expectLinear } from '../../../support/linear-time.ts';

describe('a list of ports', () => {
  const cases: readonly [list: string, port: number, names: string[], expected: boolean][] = [
    ['', 80, ['http'], false],
    ['80', 80, [], true],
    ['8080, 80 ', 80, [], true],
    ['8000-8100', 8000, [], true],
    ['8000-8100', 8100, [], true],
    ['8000-8100', 8101, [], false],
    ['8000-8010,8005-8020,9000', 8015, [], true],
    ['8100-8000', 8050, [], false],
    ['9000,8000-8010,1-5', 8005, [], true],
    ['9000,8000-8010,1-5', 7999, [], false],
    ['mysql', 3306, ['mysql'], true],
    ['mysql', 3306, [], false],
    ['123456', 12345, ['123456'], true],
  ];
  for (const [list, port, names, expected] of cases)
    it(`"${list}" has ${port} (${names.join()}): ${expected}`, () =>
      expect(isListed(list, port, names)).to.equal(expected));

  // A Service has as many ports as its owner likes, and the list was read anew for each of them.
  it('is read once, however many ports are asked for', () => {
    const list = Array.from({ length: 700 }, (_, index) => index * 3 + 1).join();
    expectLinear((ports) => {
      for (let port = 0; port < ports; port++) isListed(list, port, ['http']);
    }, 'ports');
    expectLinear((length) => isListed('1-2,'.repeat(length / 4), 80, []), 'list');
  });
});

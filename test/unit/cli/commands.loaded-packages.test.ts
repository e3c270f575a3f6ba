import { expect } from 'chai';
import { loadedModules } from '../../support/loaded-modules.ts';
import { useTempDir } from '../../support/temp-dir.ts';

/**
 * What only some verbs use costs the others nothing: each pod has what it loads in memory for as long as it
 * runs.
 */
describe('what a verb loads', () => {
  const dir = useTempDir();
  /** What a verb has loaded, which is the same each time. */
  const lists = new Map<string, string>();

  async function loadedBy(verb: string): Promise<string> {
    const found = lists.get(verb) ?? (await loadedModules(dir(), [verb, '--help']));
    lists.set(verb, found);
    expect(found).to.contain(`/src/cli/commands/${verb}.ts`);
    return found;
  }

  describe('p-queue', () => {
    for (const [verb, loads] of [
      ['gateway', false],
      ['signer', false],
      ['controller', true],
      ['egress', true],
      ['unlink', true],
    ] as const)
      it(`is ${loads ? '' : 'not '}loaded by \`${verb}\``, async () => {
        expect((await loadedBy(verb)).includes('/p-queue/')).to.equal(loads);
      });
  });

  /**
   * `import http from 'node:http'` makes Node load its own undici, for the `WebSocket` that it exports there:
   * 16 MB in each pod (src/base/node-http.ts).
   */
  describe("Node's own undici", () => {
    for (const verb of ['controller', 'gateway', 'egress', 'signer', 'links'])
      it(`is not loaded by \`${verb}\``, async () => {
        const found = await loadedBy(verb);
        expect(found).to.contain('NativeModule net');
        expect(found).not.to.contain('internal/deps/undici');
      });
  });
});

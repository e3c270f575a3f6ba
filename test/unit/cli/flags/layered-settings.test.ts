import { expect } from 'chai';
import { Command } from 'commander';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { layeredSettings } from '../../../../src/cli/flags/layered-settings.ts';
import { useTempDir } from '../../../support/temp-dir.ts';

const schema = z.strictObject({
  listen: z.string(),
  grace: z.coerce.number().min(0),
  exportSelector: z.array(z.string()).optional(),
  logLevel: z.enum(['error', 'info']),
  query: z.boolean().default(false),
});

describe('Settings from file, environment and flags', () => {
  const dir = useTempDir();

  function file(text: string): string {
    const name = path.join(dir(), 'gateway.yaml');
    writeFileSync(name, text);
    return name;
  }

  function settings(args: string[], env: NodeJS.ProcessEnv = {}): z.output<typeof schema> {
    let found: z.output<typeof schema> | undefined;
    new Command('gateway')
      .exitOverride()
      .option('--listen <address>', '', ':4143')
      .option('--grace <seconds>', '', '30')
      .option('--export-selector <selector...>')
      .option('--log-level <level>', '', 'info')
      .option('--query')
      .option('--config <file>')
      .action((_, command: Command) => {
        found = layeredSettings(schema, command, env, 'LINKSPAN_GATEWAY_');
      })
      .parse(args, { from: 'user' });
    if (found === undefined) throw new Error('not called');
    return found;
  }

  const problem = (args: string[], env: NodeJS.ProcessEnv = {}): string => {
    try {
      settings(args, env);
    } catch (error) {
      return `${(error as { code: string }).code}: ${(error as Error).message}`;
    }
    throw new Error('accepted');
  };

  it('are the defaults where nobody says anything', () => {
    expect(settings([])).to.deep.equal({ listen: ':4143', grace: 30, logLevel: 'info', query: false });
  });

  it('come from the flag before the environment before the file', () => {
    const config = file('listen: ":1"\ngrace: 1\nlogLevel: error\nexportSelector: a=b\nquery: true\n');
    const env = { LINKSPAN_GATEWAY_LISTEN: ':2', LINKSPAN_GATEWAY_GRACE: '2' };
    expect(settings(['--config', config, '--listen', ':3'], env)).to.deep.equal({
      listen: ':3',
      grace: 2,
      logLevel: 'error',
      exportSelector: ['a=b'],
      query: true,
    });
  });

  it('a flag that says the same as the default still counts as said', () => {
    expect(settings(['--grace', '30'], { LINKSPAN_GATEWAY_GRACE: '5' }).grace).to.equal(30);
  });

  it('may name the file by the environment', () => {
    expect(settings([], { LINKSPAN_GATEWAY_CONFIG: file('grace: 7') }).grace).to.equal(7);
  });

  it('lists in the environment are separated by semicolons, because selectors have commas', () => {
    const env = { LINKSPAN_GATEWAY_EXPORT_SELECTOR: 'a=b,c=d; e', LINKSPAN_GATEWAY_QUERY: 'true' };
    expect(settings([], env)).to.deep.include({ exportSelector: ['a=b,c=d', 'e'], query: true });
  });

  it('that are unknown are refused, with the nearest', () => {
    const config = file('logLevl: error\n');
    expect(problem(['--config', config])).to.equal(
      `CONFIG_INVALID: ${config}: unknown setting "logLevl" (did you mean "logLevel"?)`,
    );
    expect(problem([], { LINKSPAN_GATEWAY_GRACEE: '1' })).to.equal(
      'CONFIG_INVALID: environment: unknown setting LINKSPAN_GATEWAY_GRACEE (did you mean LINKSPAN_GATEWAY_GRACE?)',
    );
  });

  it('that are wrong are named as where they came from', () => {
    const config = file('grace: -1\n');
    expect(problem(['--config', config])).to.contain(`gateway: grace in ${config}: `);
    expect(problem([], { LINKSPAN_GATEWAY_LOG_LEVEL: 'loud' })).to.contain(
      'gateway: LINKSPAN_GATEWAY_LOG_LEVEL: ',
    );
    expect(problem(['--log-level', 'loud'])).to.contain('gateway: --log-level: ');
    expect(problem([], { LINKSPAN_GATEWAY_QUERY: 'yes' })).to.contain('neither true nor false');
  });

  it('cannot be read from what is no file, no YAML or no list of settings', () => {
    expect(problem(['--config', '/nowhere.yaml'])).to.match(/^CONFIG_UNREADABLE: --config: /);
    expect(problem(['--config', file('a: [')])).to.match(/^CONFIG_INVALID: /);
    expect(problem(['--config', file('- a')])).to.contain('is not a list of settings');
    expect(settings(['--config', file('# nothing\n')]).grace).to.equal(30);
  });

  // A Service named linkspan-gateway in the pod's namespace puts these into its environment; refusing them
  // would be a crash loop that nobody understands.
  it("do not take Kubernetes' service links for settings", () => {
    const env = {
      LINKSPAN_GATEWAY_SERVICE_HOST: '10.0.0.1',
      LINKSPAN_GATEWAY_SERVICE_PORT: '4143',
      LINKSPAN_GATEWAY_SERVICE_PORT_MC_GATEWAY: '4143',
      LINKSPAN_GATEWAY_PORT: 'tcp://10.0.0.1:4143',
      LINKSPAN_GATEWAY_PORT_4143_TCP: 'tcp://10.0.0.1:4143',
      LINKSPAN_GATEWAY_PORT_4143_TCP_ADDR: '10.0.0.1',
      LINKSPAN_GATEWAY_METRICS_SERVICE_HOST: '10.0.0.2',
    };
    expect(settings([], env).listen).to.equal(':4143');
  });
});

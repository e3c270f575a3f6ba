import { Command } from 'commander';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { proxyRows } from '../../traffic/proxy-rows.ts';
import { proxiesText, proxyName } from '../output/proxies-text.ts';
import { showTraffic } from '../traffic/show-traffic.ts';
import { trafficFlags, withTrafficFlags } from '../traffic/view-flags.ts';

const schema = z.strictObject(trafficFlags);

/** `linkspan proxies`: every pod, with what it has and how old that is. */
export function proxiesCommand(): Command {
  const command = new Command('proxies')
    .alias('proxy-status')
    .description(
      'show every pod of the installation: its version, what it follows, how long its certificate holds',
    );
  return withTrafficFlags(command).action(async (options: unknown) => {
    const flags = parseFlags(schema, options, 'proxies');
    await showTraffic(flags, {
      wanted: { services: false, links: false, pods: false, usage: false, silent: true },
      rows: proxyRows,
      nameOf: proxyName,
      namespaceOf: () => undefined,
      text: (rows, { wide }) => proxiesText(rows, wide),
    });
  });
}

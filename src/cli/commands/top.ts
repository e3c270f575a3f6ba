import { Command } from 'commander';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { edgesText } from '../output/edges-text.ts';
import { liveTop, TOP_VIEW } from '../traffic/live-top.ts';
import { showTraffic } from '../traffic/show-traffic.ts';
import { trafficFlags, windowFlag, withTrafficFlags } from '../traffic/view-flags.ts';

const schema = z.strictObject({ ...trafficFlags, for: windowFlag });

/** `linkspan top`: the busiest and the failing pairs, on a terminal with keys, elsewhere once. */
export function topCommand(): Command {
  const command = new Command('top')
    .description('show live who asks whom most and what fails; keys with ?, q ends')
    .option('--for <time>', 'how far to look back, instead of -t', '10s');
  return withTrafficFlags(command).action(async (options: unknown) => {
    const flags = parseFlags(schema, options, 'top');
    const isTerminal = process.stdin.isTTY && process.stdout.isTTY;
    if (isTerminal && flags.output === 'table') return liveTop({ ...flags, window: flags.for });
    const text = { text: edgesTextOf(flags.for) };
    return showTraffic({ ...flags, window: flags.for, watch: undefined }, { ...TOP_VIEW, ...text });
  });
}

function edgesTextOf(windowMs: number) {
  return (rows: Parameters<typeof edgesText>[0], { wide }: { readonly wide: boolean }) =>
    edgesText(rows, wide, windowMs);
}

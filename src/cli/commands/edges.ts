import { Command } from 'commander';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { edgeRows } from '../../traffic/edge-rows.ts';
import { edgeName, edgesText } from '../output/edges-text.ts';
import { showTraffic } from '../traffic/show-traffic.ts';
import { trafficFlags, withTrafficFlags } from '../traffic/view-flags.ts';

const schema = z.strictObject(trafficFlags);

/** `linkspan edges`: who asks whom across clusters, with how each hop is secured. */
export function edgesCommand(): Command {
  const command = new Command('edges').description(
    'show who asks whom across clusters, how that fares, and which hops are encrypted',
  );
  return withTrafficFlags(command).action(async (options: unknown) => {
    const flags = parseFlags(schema, options, 'edges');
    await showTraffic(flags, {
      wanted: { services: false, links: false, pods: true, usage: false, silent: false },
      rows: edgeRows,
      nameOf: edgeName,
      namespaceOf: (row) => [row.src_namespace, row.dst_namespace],
      text: (rows, { wide }) => edgesText(rows, wide, flags.window),
    });
  });
}

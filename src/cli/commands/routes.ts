import { Command } from 'commander';
import { z } from 'zod';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { parseFlags } from '../../base/config.ts';
import { routeRows, tellsRoutes } from '../../traffic/route-rows.ts';
import { routeName, routesText } from '../output/routes-text.ts';
import { showTraffic } from '../traffic/show-traffic.ts';
import { trafficFlags, withTrafficFlags } from '../traffic/view-flags.ts';

const schema = z.strictObject({ ...trafficFlags, service: z.string() });

/** `linkspan routes svc/NAME`: the routes of a Service or a mirror. */
export function routesCommand(): Command {
  const command = new Command('routes')
    .description('show success, rate, latency and retries of each route of a Service')
    .argument('<service>', 'svc/NAME or mirror/NAME');
  return withTrafficFlags(command).action(async (service: string, options: object) => {
    const flags = parseFlags(schema, { ...options, service }, 'routes');
    const name = serviceName(flags.service);
    await showTraffic(flags, {
      wanted: { services: false, links: false, pods: false, usage: false, silent: false },
      rows: (readings) => routeRows(readings, (one) => one.name === name),
      nameOf: routeName,
      namespaceOf: ({ namespace }) => [namespace],
      text: (rows, { wide }) => routesText(rows, wide, flags.window),
      notes: (readings) =>
        tellsRoutes(readings)
          ? []
          : ['no process says anything of routes: this version of them does not yet'],
    });
  });
}

function serviceName(text: string): string {
  const [kind = '', name = '', ...more] = text.split('/', 3);
  if (name !== '' && more.length === 0 && (kind === 'svc' || kind === 'service' || kind === 'mirror'))
    return name;
  if (name === '' && kind !== '') return kind;
  throw new LinkspanError('USAGE', `routes: "${text}" is no Service such as svc/web`);
}

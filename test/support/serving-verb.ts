import path from 'node:path';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { root, RuntimeProcess } from './runtime-process.ts';

/** A verb that serves until it is told to end, as people run it. */
export class ServingVerb extends RuntimeProcess {
  static async start(verb: string, ...flags: string[]): Promise<ServingVerb> {
    const admin = await freePort();
    const said = [path.join(root, 'bin/linkspan.js'), verb, ...flags, '--admin', `127.0.0.1:${admin}`];
    const started = new ServingVerb('node', said, admin);
    await started.orKilled(eventually('it can be scraped', () => started.metrics(), { everyMs: 100 }));
    return started;
  }
}

import path from 'node:path';
import { MULTICLUSTER } from './chart.ts';
import { freePort } from './free-port.ts';
import { loadFirst, root, type Runtime, RuntimeProcess } from './runtime-process.ts';

/** `linkspan egress` as a process of its own, which finds its routes in a cluster as pods do. */
export class LinkspanEgress extends RuntimeProcess {
  /** @param options `dir`: its certificate; `flags`: beside those that it needs to run here */
  static async start(options: {
    readonly dir: string;
    readonly kubeconfig: string;
    readonly runtime?: Runtime;
    /** Where it listens for clients; default: loopback. */
    readonly address?: string;
    readonly flags?: readonly string[];
    /** Of the runtime, such as the size of its heap; default none. */
    readonly node?: readonly string[];
    /** A file that is loaded before the program. */
    readonly first?: string;
  }): Promise<LinkspanEgress> {
    const {
      dir,
      kubeconfig,
      runtime = 'node',
      address = '127.0.0.1',
      flags = [],
      node = [],
      first,
    } = options;
    const admin = await freePort();
    const where = ['--kubeconfig', kubeconfig, '--namespace', MULTICLUSTER, '--identity-dir', dir];
    const ports = ['--listen-address', address, '--admin', `127.0.0.1:${admin}`];
    const program = [...node, ...loadFirst(runtime, first), path.join(root, 'bin/linkspan.js'), 'egress'];
    const started = new LinkspanEgress(runtime, [...program, ...where, ...ports, ...flags], admin);
    await started.says('it has started', (text) => text.includes('egress started'));
    return started;
  }

  /** The status of its readiness. */
  async ready(): Promise<number> {
    return (await fetch(`http://127.0.0.1:${this.admin}/ready`)).status;
  }
}

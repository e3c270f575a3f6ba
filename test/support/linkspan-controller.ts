import path from 'node:path';
import { freePort } from './free-port.ts';
import { loadFirst, root, RuntimeProcess } from './runtime-process.ts';

/** `linkspan controller` as a process of its own, which can be killed. */
export class LinkspanController extends RuntimeProcess {
  /** @param options `namespace`: of the Links; `flags`: beside those that it needs to run here */
  static async start(options: {
    readonly kubeconfig: string;
    readonly namespace: string;
    readonly replica: string;
    /** Such as `6s`. */
    readonly lease: string;
    readonly flags?: readonly string[];
    /** Of Node, such as the size of its heap; default none. */
    readonly node?: readonly string[];
    /** A file that is loaded before the program. */
    readonly first?: string;
  }): Promise<LinkspanController> {
    const { kubeconfig, namespace, replica, lease, flags = [], node = [], first } = options;
    const admin = await freePort();
    const before = [...node, ...loadFirst('node', first)];
    const program = [...before, path.join(root, 'bin/linkspan.js'), 'controller', '--kubeconfig', kubeconfig];
    const who = ['--namespace', namespace, '--replica', replica, '--lease-duration', lease];
    const where = ['--admin', `127.0.0.1:${admin}`, '--log-level', 'error'];
    return new LinkspanController('node', [...program, ...who, ...where, ...flags], admin);
  }
}

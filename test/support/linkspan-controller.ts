import path from 'node:path';
import { freePort } from './free-port.ts';
import { root, RuntimeProcess } from './runtime-process.ts';

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
  }): Promise<LinkspanController> {
    const { kubeconfig, namespace, replica, lease, flags = [] } = options;
    const admin = await freePort();
    const program = [path.join(root, 'bin/linkspan.js'), 'controller', '--kubeconfig', kubeconfig];
    const who = ['--namespace', namespace, '--replica', replica, '--lease-duration', lease];
    const where = ['--admin', `127.0.0.1:${admin}`, '--log-level', 'error'];
    return new LinkspanController('node', [...program, ...who, ...where, ...flags], admin);
  }
}

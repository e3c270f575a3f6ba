/**
 * `node prepare-demo.ts <server> <sha512>`: a process that prepares what the demo needs from that server's
 * /a.tar.gz.
 */
import { prepare } from '../testbed/binaries/prepare.ts';
import { NEEDS } from '../testbed/binaries/programs.ts';

const [server = '', sha512 = ''] = process.argv.slice(2);
const file = { url: `${server}/a.tar.gz`, sha512 };
await prepare(NEEDS.demo, { downloads: { archive: file, release: () => file } });

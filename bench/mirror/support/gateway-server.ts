/** `node gateway-server.ts ADDRESS PORT`: answers a gateway's probes until it is killed. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const [address = '', port = '0'] = process.argv.slice(2);
const server = createServer((_, response) => response.end('ready\n'));
server.listen(Number(port), address, () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});

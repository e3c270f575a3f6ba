/**
 * The sample web service of the demo: answers with what it sees of the request.
 * `node demo/web.ts <host:port> <name>`
 */
import { createServer } from 'node:http';
import { parseAddress } from '../src/base/address.ts';

const [address = '', name = 'web'] = process.argv.slice(2);
const { host, port } = parseAddress(address, 'address');

createServer((request, response) => {
  const seen = {
    answeredBy: name,
    cluster: 'west',
    path: request.url,
    host: request.headers.host,
    clientIdentity: request.headers['l5d-client-id'],
    forwarded: request.headers['forwarded'],
  };
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(seen)}\n`);
}).listen(port, host, () => process.stdout.write(`${name} listens on ${address}\n`));

/** Answers with the pod's name and who the gateway says is asking. */
import { createServer } from 'node:http';

createServer((request, response) => {
  response.end(`${process.env['POD'] ?? ''} ${String(request.headers['l5d-client-id'] ?? '-')}\n`);
}).listen(8080);
// No handler of SIGTERM: it answers until it is killed, as connections still come for a moment after the pod
// has been taken out of its Service.

import type * as NodeHttp from 'node:http';

/**
 * Node's `http`, for `import { http } from …/base/node-http.ts` in place of `import http from 'node:http'`:
 * an import statement asks Node for all names that `node:http` exports, `WebSocket` among them, and Node
 * loads its own copy of undici to answer that: 16 MB and 40 ms in each process that has an admin port.
 */
export const http: typeof NodeHttp = process.getBuiltinModule('node:http');

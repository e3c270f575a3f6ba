import path from 'node:path';
import { machineProgram } from '../testbed/binaries/machine.ts';
import { Peer } from './peer.ts';

const PROGRAM = path.join(import.meta.dirname, 'grpcio_peers.py');

/** A process of `grpcio_peers.py`. @param args as it has them */
export function grpcio(...args: readonly string[]): Peer {
  return new Peer(machineProgram('python3-grpcio'), [PROGRAM, ...args]);
}

/** Starts its server. @param register hears of it at once, to close it */
export async function grpcioServer(register: (server: Peer) => void, streams?: number): Promise<number> {
  const server = grpcio('server', ...(streams === undefined ? [] : [String(streams)]));
  register(server);
  return (await server.line<{ port: number }>(0, 30_000)).port;
}

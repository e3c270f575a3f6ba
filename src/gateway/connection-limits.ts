import type { ConnectionLimits } from '../base/connection-admission.ts';
import { memoryLimit } from '../base/memory-limit.ts';

/** Share of the memory for connections before the end of their handshake. */
const HANDSHAKE_SHARE = 1 / 8;
/**
 * Memory of a connection before its handshake is done, bytes (measured on Node: 17 KiB, with the kernel's
 * part).
 */
const HANDSHAKE_BYTES = 20 * 1024;
/** Share of the memory for all connections. */
const CONNECTION_SHARE = 3 / 4;
/** Memory of an idle connection together with its upstream, bytes (docs/performance.md). */
const CONNECTION_BYTES = { node: 68 * 1024, bun: 28 * 1024 };
/** Most concurrent handshakes: each takes milliseconds, so no real traffic has more. */
const MOST_HANDSHAKES = 8192;
const LEAST_HANDSHAKES = 64;
const MOST_CONNECTIONS = 100_000;
const LEAST_CONNECTIONS = 256;

/**
 * The limits that fit into the memory: with the chart's 512 MiB 3,276 connections before their handshake and,
 * on Node, 5,782 in all. Pure.
 * @param memoryBytes memory of all `workers` together
 */
export function connectionLimits(
  memoryBytes: number,
  { runtime, workers }: { readonly runtime: 'node' | 'bun'; readonly workers: number },
): ConnectionLimits {
  const own = memoryBytes / workers;
  const within = (count: number, least: number, most: number) =>
    Math.min(most, Math.max(least, Math.floor(count)));
  return {
    handshakes: within((own * HANDSHAKE_SHARE) / HANDSHAKE_BYTES, LEAST_HANDSHAKES, MOST_HANDSHAKES),
    connections: within(
      (own * CONNECTION_SHARE) / CONNECTION_BYTES[runtime],
      LEAST_CONNECTIONS,
      MOST_CONNECTIONS,
    ),
  };
}

/** The limits for this process, by its memory limit. @param workers processes that share that memory */
export function ownLimits(workers: number): ConnectionLimits {
  const runtime = process.versions.bun === undefined ? 'node' : 'bun';
  return connectionLimits(memoryLimit(), { runtime, workers });
}

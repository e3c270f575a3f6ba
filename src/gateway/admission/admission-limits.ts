import type { AdmissionLimits } from '../../base/connection-admission.ts';
import { memoryLimit } from '../../base/memory-limit.ts';

/** Share of the memory for connections that have proven nothing. */
const HANDSHAKE_SHARE = 1 / 8;
/**
 * What a connection costs before its handshake is done (17 KiB measured on Node, with what the kernel holds
 * for it).
 */
const HANDSHAKE_BYTES = 20 * 1024;
/** Share of the memory for all connections. */
const CONNECTION_SHARE = 3 / 4;
/** What an idle connection costs together with its upstream (docs/performance.md). */
const CONNECTION_BYTES = { node: 68 * 1024, bun: 28 * 1024 };
/** A handshake takes milliseconds: more of them at once are no traffic. */
const MOST_HANDSHAKES = 8192;
const LEAST_HANDSHAKES = 64;
const MOST_CONNECTIONS = 100_000;
const LEAST_CONNECTIONS = 256;

/**
 * What fits into the memory: at the usual 512 MiB 3,276 connections before their handshake and, on Node,
 * 5,782 in all. Pure.
 * @param memoryBytes that all `workers` have together
 */
export function admissionLimits(
  memoryBytes: number,
  { runtime, workers }: { readonly runtime: 'node' | 'bun'; readonly workers: number },
): AdmissionLimits {
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

/** What fits into the memory of this process. @param workers processes that share it */
export function ownLimits(workers: number): AdmissionLimits {
  const runtime = process.versions.bun === undefined ? 'node' : 'bun';
  return admissionLimits(memoryLimit(), { runtime, workers });
}

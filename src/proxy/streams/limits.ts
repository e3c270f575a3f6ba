/** Streams of one connection in stream mode, on either end. A client that needs more opens another connection. */
export const MAX_STREAMS = 250;

/**
 * A stream gets 5 MB/s over a round trip of 50 ms (ADR 0016). What all streams of a connection together may hold unread is more than `MAX_STREAMS` times their windows, so that flows that nobody reads never stall the others.
 */
export const STREAM_WINDOWS = {
  streamWindow: 256 * 1024,
  connectionWindow: 8 * 1024 * 1024,
  maxUnconsumed: 64 * 1024 * 1024,
} as const;

/** Streams that an egress may reset before they are done: many clients of its own are behind it, and any of them may go away at any time. */
export const STREAM_RESETS = { burst: 10_000, perSecond: 1000 } as const;

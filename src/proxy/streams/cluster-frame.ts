import { frame, FrameType } from '../http2/frames.ts';

/** A DNS label, as names of clusters are. */
const NAME = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/**
 * The frame by which an egress says, once and before its first stream, in which cluster it is. Whoever does
 * not know it ignores it (RFC 9113 section 5.5).
 */
export function clusterFrame(name: string): Buffer {
  return frame(FrameType.CLUSTER, 0, 0, Buffer.from(name, 'latin1'));
}

/**
 * The name of a cluster in such a frame; undefined where it is none: what another cluster says must not be
 * longer, nor have other characters, than names have.
 */
export function readClusterFrame(type: number, streamId: number, payload: Buffer): string | undefined {
  if (type !== FrameType.CLUSTER || streamId !== 0 || payload.length > 63) return undefined;
  const name = payload.toString('latin1');
  return NAME.test(name) ? name : undefined;
}

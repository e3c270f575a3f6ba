import { expect } from 'chai';
import { FrameType } from '../../../../src/proxy/http2/frames.ts';
import { clusterFrame, readClusterFrame } from '../../../../src/proxy/streams/cluster-frame.ts';

describe('The frame that says in which cluster an egress is', () => {
  const read = (name: string | Buffer, type: number = FrameType.CLUSTER, streamId = 0) =>
    readClusterFrame(type, streamId, Buffer.from(name as string));

  it('has the name behind a head of nine bytes, on stream 0', () => {
    const bytes = clusterFrame('east');
    expect(bytes.toString('hex')).to.equal(`000004f10000000000${Buffer.from('east').toString('hex')}`);
    expect(readClusterFrame(FrameType.CLUSTER, 0, bytes.subarray(9))).to.equal('east');
  });

  it('is none with another type, on a stream, or with what is no name', () => {
    expect(read('a'.repeat(63))).to.have.length(63);
    for (const name of ['', 'a'.repeat(64), 'East', 'a b', 'a\tb', 'a\u001b[2J', '-a', 'a-', 'a.b'])
      expect(read(name), name).to.equal(undefined);
    expect(read(Buffer.from([0xff, 0xfe]))).to.equal(undefined);
    expect(read('east', 0xf2)).to.equal(undefined);
    expect(read('east', FrameType.CLUSTER, 1)).to.equal(undefined);
  });
});

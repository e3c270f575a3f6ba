import { expect } from 'chai';
import { memoryLimit } from '../../../src/base/memory-limit.ts';
import { ConnectionAdmission, type Ticket } from '../../../src/base/connection-admission.ts';
import { connectionLimits } from '../../../src/gateway/connection-limits.ts';
import { clientKeyOf } from '../../../src/base/ip-ranges.ts';

const MIB = 1024 * 1024;

describe('what a gateway admits', () => {
  it('follows from the memory that it may take', () => {
    const limits = (mib: number, runtime: 'node' | 'bun' = 'node', workers = 1) =>
      connectionLimits(mib * MIB, { runtime, workers });
    expect(limits(512)).to.deep.equal({ handshakes: 3276, connections: 5782 });
    expect(limits(512, 'bun')).to.deep.equal({ handshakes: 3276, connections: 14_043 });
    expect(limits(512, 'node', 2)).to.deep.equal({ handshakes: 1638, connections: 2891 });
    expect(limits(1)).to.deep.equal({ handshakes: 64, connections: 256 });
    expect(limits(1_000_000)).to.deep.equal({ handshakes: 8192, connections: 100_000 });
  });

  it('takes the memory from the cgroup, and from the machine where that has none', () => {
    expect(memoryLimit(512 * MIB, 4096 * MIB)).to.equal(512 * MIB);
    // Node says 2^64 or 0 for "none", Bun the machine's memory.
    expect(memoryLimit(2 ** 64, 4096 * MIB)).to.equal(4096 * MIB);
    expect(memoryLimit(0, 4096 * MIB)).to.equal(4096 * MIB);
    expect(memoryLimit(4096 * MIB, 4096 * MIB)).to.equal(4096 * MIB);
  });

  it('counts a /64 of IPv6 as one client, and IPv4 in IPv6 as IPv4', () => {
    expect(clientKeyOf('2001:db8:0:1::1')).to.equal(clientKeyOf('2001:db8:0:1:ffff::2'));
    expect(clientKeyOf('2001:db8:0:1::1')).not.to.equal(clientKeyOf('2001:db8:0:2::1'));
    expect(clientKeyOf('::ffff:10.0.0.1')).to.equal(clientKeyOf('10.0.0.1'));
    expect(clientKeyOf('10.0.0.1')).not.to.equal(clientKeyOf('10.0.0.2'));
    expect(clientKeyOf('')).to.equal('');
  });
});

describe('ConnectionAdmission', () => {
  const LIMITS = { handshakes: 4, connections: 6 };
  let admission: ConnectionAdmission;
  let evicted: string[];
  const enter = (address: string, name = address): Ticket | undefined =>
    admission.enter(address, () => evicted.push(name));

  beforeEach(() => {
    admission = new ConnectionAdmission(LIMITS);
    evicted = [];
  });

  it('lets one address have all of it while nobody else wants it: a whole cluster may come from one', () => {
    for (let n = 0; n < LIMITS.handshakes; n++) enter('10.0.0.1');
    expect(evicted).to.deep.equal([]);
    expect(admission.handshakes).to.equal(LIMITS.handshakes);
  });

  it('makes room at the expense of the address that has most, its oldest first', () => {
    enter('10.0.0.2', 'neighbour');
    for (const name of ['a', 'b', 'c', 'd', 'e']) enter('10.0.0.1', name);
    enter('10.0.0.3', 'late');
    expect(evicted).to.deep.equal(['a', 'b', 'c']);
    expect(admission.handshakes).to.equal(LIMITS.handshakes);
  });

  it('has room again for who leaves, and for who has proven who they are', () => {
    const tickets = ['a', 'b', 'c', 'd'].map((name) => enter('10.0.0.1', name));
    tickets[0]?.leave();
    tickets[0]?.leave();
    tickets[1]?.admit();
    expect(admission.handshakes).to.equal(2);
    enter('10.0.0.1', 'e');
    enter('10.0.0.1', 'f');
    expect(evicted).to.deep.equal([]);
  });

  it('counts nothing twice for one that was evicted and closes then', () => {
    const first = enter('10.0.0.1', 'a');
    for (const name of ['b', 'c', 'd', 'e']) enter('10.0.0.1', name);
    expect(evicted).to.deep.equal(['a']);
    first?.admit();
    first?.leave();
    expect(admission.handshakes).to.equal(LIMITS.handshakes);
  });

  it('never ends a connection of somebody known for a stranger, and takes no stranger when there is no room', () => {
    const known = Array.from({ length: LIMITS.connections }, () => {
      const ticket = enter('10.0.0.1', 'known');
      ticket?.admit();
      return ticket;
    });
    expect(enter('10.0.0.2')).to.equal(undefined);
    known[0]?.leave();
    expect(enter('10.0.0.2', 'x')).not.to.equal(undefined);
    // The place of the other stranger is the only one that can be given away.
    expect(enter('10.0.0.3')).not.to.equal(undefined);
    expect(evicted).to.deep.equal(['x']);
  });

  it('sends away the oldest of the address with most of them, whatever happened before', () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
    const there = new Map<number, { readonly share: number; readonly ticket: Ticket | undefined }>();
    const sizeOf = (share: number) => [...there.values()].filter((one) => one.share === share).length;
    for (let step = 0; step < 5000; step++) {
      if (random(3) > 0 || there.size === 0) {
        const share = random(3);
        const ticket = admission.enter(`10.0.0.${share}`, () => {
          expect(there.size).to.equal(LIMITS.handshakes);
          expect(sizeOf(share)).to.equal(Math.max(...[0, 1, 2].map(sizeOf)));
          expect([...there].find(([, one]) => one.share === share)?.[0]).to.equal(step);
          there.delete(step);
        });
        there.set(step, { share, ticket });
      } else {
        const [key, one] = [...there][random(there.size)] ?? [0, undefined];
        one?.ticket?.leave();
        there.delete(key);
      }
      expect(admission.handshakes).to.equal(there.size);
    }
  });
});

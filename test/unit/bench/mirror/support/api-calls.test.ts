import { expect } from 'chai';
import {
  mirrorWrites,
  parseCalls,
  total,
  writesBetween,
} from '../../../../../bench/mirror/support/api-calls.ts';

const request = (verb: string, resource: string, count: number, subresource = '', code = 200) =>
  `apiserver_request_total{code="${code}",component="apiserver",dry_run="",group="",resource="${resource}",scope="resource",subresource="${subresource}",verb="${verb}",version="v1"} ${count}`;

/**
 * A benchmark that miscounts writes would let a controller that rewrites everything pass for one that writes
 * nothing.
 */
describe('writes counted by an API server', () => {
  const before = parseCalls([request('POST', 'services', 5)].join('\n'));

  it('are those since the first reading, whatever their code', () => {
    const after = parseCalls(
      [request('POST', 'services', 7), request('POST', 'services', 1, '', 409)].join('\n'),
    );
    expect([...writesBetween(before, after)]).to.deep.equal([['POST services', 3]]);
  });

  it('are neither reads nor Leases nor what the API server keeps for itself', () => {
    const others = [
      request('LIST', 'services', 9),
      request('PUT', 'leases', 9),
      request('PATCH', 'flowschemas', 9, 'status'),
    ];
    expect(
      total(writesBetween(before, parseCalls([...others, request('POST', 'services', 5)].join('\n')))),
    ).to.equal(0);
  });

  it('are about mirrors when they are not status or Events', () => {
    const after = parseCalls(
      [
        request('POST', 'services', 6),
        request('DELETE', 'endpointslices', 1),
        request('PATCH', 'links', 2, 'status'),
        request('POST', 'events', 3),
      ].join('\n'),
    );
    const writes = writesBetween(before, after);
    expect([total(writes), mirrorWrites(writes)]).to.deep.equal([7, 2]);
  });
});

import { expect } from 'chai';
import { About, fieldName, makeField, trailerFields } from '../../../../src/proxy/http/fields.ts';
import { endToEnd, requestFields } from '../../../../src/proxy/http/forwarding.ts';

const RULES = { host: undefined, added: [] };
const PLAIN = ['x_request_id', 'content_type', 'x_l5d_client_id', 'accept', 'user_agent'];
/** Differ from a name that matters in `_` for `-`, all or some of them. */
const DOUBLES = [
  'l5d_client_id',
  'l5d_client-id',
  'l5d-client_id',
  'l5d_dst_canonical',
  'l5d_orig_proto',
  'content_length',
  'transfer_encoding',
  'proxy_connection',
  'keep_alive',
  'proxy_authorization',
];

/**
 * CGI and WSGI make one variable of `l5d-client-id` and `l5d_client_id`: an application that reads the
 * variable reads whichever came last, which is the client's to choose.
 */
describe('Fields whose names look like another to some servers', () => {
  const kept = (names: readonly string[], take: typeof trailerFields) =>
    take(names.map((name) => makeField(name, 'x'))).map(({ lower }) => lower);

  it('are taken out of requests', () => {
    expect(kept([...DOUBLES, ...PLAIN], (fields) => requestFields(fields, RULES))).to.deep.equal(PLAIN);
  });

  it('are taken out of trailers', () => {
    expect(kept([...DOUBLES, ...PLAIN], trailerFields)).to.deep.equal(PLAIN);
  });

  it('are taken out of answers where they would be about framing or a hop', () => {
    const framing = DOUBLES.filter((name) => !name.startsWith('l5d'));
    expect(kept([...framing, ...PLAIN], endToEnd)).to.deep.equal(PLAIN);
  });

  it('are no error in HTTP/2, unlike the fields that they look like', () => {
    expect(fieldName('keep_alive').bits & About.HTTP1).to.equal(0);
  });
});

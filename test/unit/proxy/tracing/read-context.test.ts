import { expect } from 'chai';
import fc from 'fast-check';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import { continuedFields } from '../../../../src/proxy/tracing/continued-fields.ts';
import { readContext } from '../../../../src/proxy/tracing/read-context.ts';
import { expectLinear } from '../../../support/linear-time.ts';
import { WORST_TEXTS, worstTexts } from '../../../support/worst-text.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SHORT = 'a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const OWN = 'b7ad6b7169203331';
type Pairs = readonly (readonly [string, string])[];
const fieldsOf = (pairs: Pairs) => pairs.map(([name, value]) => makeField(name, value));
const read = (pairs: Pairs) => readContext(fieldsOf(pairs));
const grpc = (hex: string) => Buffer.from(hex, 'hex').toString('base64');
const GRPC = grpc(`0000${TRACE}01${SPAN}0201`);

/** Those of W3C's suite (trace-context/test/test.py), and what they say: recorded, not, or as if absent. */
const traceparents: readonly (readonly [what: string, value: string, is: boolean | undefined])[] = [
  ['of version 00, sampled', `00-${TRACE}-${SPAN}-01`, true],
  ['not sampled', `00-${TRACE}-${SPAN}-00`, false],
  ['with flags that are not known', `00-${TRACE}-${SPAN}-ff`, true],
  ['with flags that are not known, not sampled', `00-${TRACE}-${SPAN}-fe`, false],
  ['of version 00 with more behind', `00-${TRACE}-${SPAN}-01-what-the-future-will-be-like`, undefined],
  ['of version 00 with a hyphen behind', `00-${TRACE}-${SPAN}-01-`, undefined],
  ['of version 00 with something behind', `00-${TRACE}-${SPAN}-01.`, undefined],
  ['of version cc', `cc-${TRACE}-${SPAN}-01`, true],
  ['of version cc with more behind', `cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`, true],
  [
    'of version cc with something else behind',
    `cc-${TRACE}-${SPAN}-01.what-the-future-will-not-be-like`,
    undefined,
  ],
  ['of version ff', `ff-${TRACE}-${SPAN}-01`, undefined],
  ['of a version with a dot', `.0-${TRACE}-${SPAN}-01`, undefined],
  ['of a version that is too long', `000-${TRACE}-${SPAN}-01`, undefined],
  ['of a version that is too short', `0-${TRACE}-${SPAN}-01`, undefined],
  ['with a trace of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`, undefined],
  ['with a trace with a dot', `00-.${TRACE.slice(1)}-${SPAN}-01`, undefined],
  ['with a trace in upper case', `00-${TRACE.toUpperCase()}-${SPAN}-01`, undefined],
  ['with a trace that is too long', `00-${TRACE}0-${SPAN}-01`, undefined],
  ['with a trace that is too short', `00-${TRACE.slice(1)}-${SPAN}-01`, undefined],
  ['with a parent of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`, undefined],
  ['with a parent with a dot', `00-${TRACE}-.${SPAN.slice(1)}-01`, undefined],
  ['with a parent that is too long', `00-${TRACE}-${SPAN}0-01`, undefined],
  ['with a parent that is too short', `00-${TRACE}-${SPAN.slice(1)}-01`, undefined],
  ['with flags with a dot', `00-${TRACE}-${SPAN}-.0`, undefined],
  ['with flags that are too long', `00-${TRACE}-${SPAN}-001`, undefined],
  ['with flags that are too short', `00-${TRACE}-${SPAN}-1`, undefined],
  ['that is empty', '', undefined],
  ['of a later version that nobody would read', `cc-${TRACE}-${SPAN}-01-${'x'.repeat(300)}`, undefined],
];

describe('the context of a trace', () => {
  for (const [what, value, is] of traceparents)
    it(`is read of a traceparent ${what}`, () => {
      const context = read([['traceparent', value]]);
      expect(context?.sampled).to.equal(is);
      if (context !== undefined) expect(context).to.include({ traceId: TRACE, parentId: SPAN });
    });

  const others: Readonly<Record<string, readonly [pairs: Pairs, sampled: unknown, traceId?: string]>> = {
    'two traceparents': [
      [
        ['traceparent', `00-${TRACE}-${SPAN}-01`],
        ['traceparent', `00-${TRACE}-${OWN}-01`],
      ],
      undefined,
    ],
    'a field of another name': [
      [
        ['trace-parent', `00-${TRACE}-${SPAN}-01`],
        ['trace.parent', `00-${TRACE}-${SPAN}-01`],
      ],
      undefined,
    ],
    'b3, sampled': [[['b3', `${TRACE}-${SPAN}-1`]], true, TRACE],
    'b3 with a parent': [[['b3', `${TRACE}-${SPAN}-1-${OWN}`]], true, TRACE],
    'b3 with 64 bits': [[['b3', `${SHORT}-${SPAN}-0`]], false, SHORT],
    'b3 that leaves it open': [[['b3', `${TRACE}-${SPAN}`]], 'open', TRACE],
    'b3, debug': [[['b3', `${TRACE}-${SPAN}-d`]], true, TRACE],
    'b3 that only says no': [[['b3', '0']], false],
    'b3 that only says yes': [[['b3', '1']], true],
    'b3 with another decision': [[['b3', `${TRACE}-${SPAN}-2`]], undefined],
    'b3 of zeros': [[['b3', `${'0'.repeat(32)}-${SPAN}-1`]], undefined],
    'b3 of 24 digits': [[['b3', `${TRACE.slice(8)}-${SPAN}-1`]], undefined],
    'fields of b3': [
      [
        ['x-b3-traceid', TRACE],
        ['x-b3-spanid', SPAN],
        ['x-b3-sampled', '1'],
      ],
      true,
      TRACE,
    ],
    'fields of b3, not sampled': [
      [
        ['x-b3-traceid', TRACE],
        ['x-b3-spanid', SPAN],
        ['x-b3-sampled', '0'],
      ],
      false,
      TRACE,
    ],
    'fields of b3, debug': [
      [
        ['x-b3-traceid', TRACE],
        ['x-b3-spanid', SPAN],
        ['x-b3-flags', '1'],
      ],
      true,
      TRACE,
    ],
    'fields of b3 that leave it open': [
      [
        ['x-b3-traceid', SHORT],
        ['x-b3-spanid', SPAN],
      ],
      'open',
      SHORT,
    ],
    'fields of b3 without a span': [
      [
        ['x-b3-traceid', TRACE],
        ['x-b3-sampled', '1'],
      ],
      undefined,
    ],
    'fields of b3 that only say no': [[['x-b3-sampled', 'false']], false],
    'grpc-trace-bin': [[['grpc-trace-bin', GRPC]], true, TRACE],
    'grpc-trace-bin without padding': [[['grpc-trace-bin', GRPC.replace('=', '')]], true, TRACE],
    'grpc-trace-bin, not sampled': [[['grpc-trace-bin', grpc(`0000${TRACE}01${SPAN}0200`)]], false, TRACE],
    'grpc-trace-bin of another version': [[['grpc-trace-bin', grpc(`0100${TRACE}01${SPAN}0201`)]], undefined],
    'grpc-trace-bin in another order': [[['grpc-trace-bin', grpc(`0001${SPAN}00${TRACE}0201`)]], undefined],
    'grpc-trace-bin that is cut short': [[['grpc-trace-bin', GRPC.slice(0, 30)]], undefined],
    'W3C first': [
      [
        ['b3', `${SHORT}-${SPAN}-1`],
        ['traceparent', `00-${TRACE}-${SPAN}-00`],
      ],
      false,
      TRACE,
    ],
    'b3 where traceparent is malformed': [
      [
        ['traceparent', 'x'],
        ['b3', `${SHORT}-${SPAN}-1`],
      ],
      true,
      SHORT,
    ],
  };
  for (const [what, [pairs, sampled, traceId]] of Object.entries(others))
    it(`is read of ${what}`, () => {
      const context = read(pairs);
      expect(context === undefined ? undefined : (context.sampled ?? 'open')).to.equal(sampled);
      expect(context?.traceId).to.equal(traceId);
    });

  const next: Readonly<Record<string, readonly [came: Pairs, goes: Pairs]>> = {
    'in the place of traceparent, with all that is beside it': [
      [
        ['x-a', '1'],
        ['traceparent', `cc-${TRACE}-${SPAN}-ff-more`],
        ['tracestate', 'a=1'],
        ['b3', '0'],
      ],
      [
        ['x-a', '1'],
        ['traceparent', `00-${TRACE}-${OWN}-03`],
        ['tracestate', 'a=1'],
        ['b3', '0'],
      ],
    ],
    'as b3': [[['b3', `${SHORT}-${SPAN}`]], [['b3', `${SHORT}-${OWN}-1-${SPAN}`]]],
    'as b3 that only says yes': [[['b3', '1']], [['b3', `${TRACE}-${OWN}-1`]]],
    'as fields of b3': [
      [
        ['x-b3-spanid', SPAN],
        ['x-b3-traceid', SHORT],
        ['x-b3-flags', '1'],
      ],
      [
        ['x-b3-spanid', OWN],
        ['x-b3-traceid', SHORT],
        ['x-b3-flags', '1'],
        ['x-b3-parentspanid', SPAN],
      ],
    ],
    'as grpc-trace-bin': [
      [['grpc-trace-bin', GRPC]],
      [['grpc-trace-bin', grpc(`0000${TRACE}01${OWN}0201`).slice(0, 39)]],
    ],
    'as traceparent where there is none': [
      [['x-a', '1']],
      [
        ['x-a', '1'],
        ['traceparent', `00-${TRACE}-${OWN}-01`],
      ],
    ],
    'in each field once, where one has come twice': [
      [
        ['x-b3-traceid', ''],
        ['x-b3-sampled', '1'],
        ['x-b3-traceid', ''],
      ],
      [
        ['x-b3-traceid', TRACE],
        ['x-b3-sampled', '1'],
        ['x-b3-spanid', OWN],
      ],
    ],
    'as traceparent in place of what is malformed': [
      [
        ['traceparent', 'x'],
        ['tracestate', 'a=1'],
        ['b3', 'x'],
        ['x-a', '1'],
      ],
      [
        ['traceparent', `00-${TRACE}-${OWN}-01`],
        ['x-a', '1'],
      ],
    ],
  };
  for (const [what, [came, goes]] of Object.entries(next))
    it(`goes on ${what}`, () => {
      const sent = continuedFields(fieldsOf(came), { traceId: TRACE, spanId: OWN, parent: read(came) });
      expect(sent.map(({ name, value }) => [name, value])).to.deep.equal(goes);
    });

  it('is read back by whoever is next, whatever it was made of', () => {
    const hex = (digits: number) =>
      fc
        .array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits })
        .map((all) => all.join(''));
    const piece = fc.oneof(
      hex(32),
      hex(16),
      hex(2),
      fc.constantFrom('-', '00', '1', 'd', '', 'ff', GRPC, '=', '0'),
    );
    const value = fc
      .array(piece, { maxLength: 8 })
      .chain((all) => fc.constantFrom(all.join('-'), all.join('')));
    const name = fc.constantFrom(
      'traceparent',
      'b3',
      'x-b3-traceid',
      'x-b3-spanid',
      'x-b3-sampled',
      'x-b3-flags',
      'grpc-trace-bin',
      'tracestate',
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 6 }), (pairs) => {
        const parent = read(pairs);
        if (parent?.traceId !== undefined)
          expect(parent.traceId).to.match(/^(?:[0-9a-f]{32}|[0-9a-f]{16})$/i);
        const sent = continuedFields(fieldsOf(pairs), { traceId: TRACE, spanId: OWN, parent });
        const again = readContext(sent);
        expect(again).to.include({ sampled: true, parentId: OWN, traceId: parent?.traceId ?? TRACE });
        expect(again?.form).to.equal(parent?.form ?? 'traceparent');
      }),
      { numRuns: 500 * Number(process.env['LINKSPAN_FUZZ'] ?? '1') },
    );
  });

  it('takes time in proportion to what is sent, whatever that is', () => {
    const names = ['traceparent', 'b3', 'x-b3-traceid', 'x-b3-spanid', 'x-b3-sampled', 'grpc-trace-bin'];
    for (const [index] of worstTexts(10).entries())
      expectLinear(
        (length) => read(names.map((name) => [name, WORST_TEXTS[index]?.(length) ?? ''])),
        `context of text ${index}`,
      );
  });
});

import { expect } from 'chai';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { countersExposition } from '../../../../src/proxy/metrics/counters-exposition.ts';
import { addSnapshots, EMPTY_SNAPSHOT, viewOf } from '../../../../src/proxy/metrics/counters-snapshot.ts';
import type { CountersView } from '../../../../src/proxy/metrics/counters-view.ts';
import {
  exemplarsOf,
  type LatencyExample,
  LatencyExamples,
  MAX_EXAMPLES,
} from '../../../../src/proxy/metrics/exemplars.ts';
import { begun } from '../../../support/begun-flow.ts';

const WEB = 'web.demo.svc.cluster.local:80';
const SPAN = '00f067aa0ba902b7';
let nth = 0;
const exampleOf = (said: Partial<LatencyExample> = {}): LatencyExample => ({
  target: WEB,
  traceId: (nth++).toString(16).padStart(32, '0'),
  spanId: SPAN,
  ms: 3,
  at: 1000,
  status: 200,
  failed: false,
  ...said,
});

describe('Examples of latencies', () => {
  it('are the newest of each range, and of failures apart', () => {
    const all = new LatencyExamples();
    const kept = [
      exampleOf({ ms: 0.5 }),
      exampleOf({ ms: 3.9 }),
      exampleOf({ ms: 4 }),
      exampleOf({ ms: 3.9, failed: true }),
      exampleOf({ ms: 3.9, target: 'other:80' }),
      exampleOf({ ms: 0 }),
    ];
    for (const one of kept) all.add({ ...one, ms: one.ms * 0.99, traceId: 'older' });
    for (const one of kept) all.add(one);
    expect([...all]).to.have.deep.members(kept);
  });

  it('are no more than some, whoever makes how many targets', () => {
    const all = new LatencyExamples();
    for (let at = 0; at < 2 * MAX_EXAMPLES; at++) all.add(exampleOf({ target: `web-${at}:80`, at }));
    const kept = [...all];
    expect(kept).to.have.length(MAX_EXAMPLES);
    expect(kept[0]?.target).to.equal(`web-${MAX_EXAMPLES}:80`);
  });

  it('of several processes are together, the newest of too many', () => {
    const of = (from: number): LatencyExample[] =>
      Array.from({ length: MAX_EXAMPLES }, (_, at) => exampleOf({ at: from + at }));
    const [old, recent] = [of(0), of(10_000)];
    const sum = addSnapshots(
      { ...EMPTY_SNAPSHOT, internalErrors: 1, examples: old.slice(0, 2) },
      { ...EMPTY_SNAPSHOT, internalErrors: 2, examples: recent.slice(0, 1) },
    );
    expect(sum.internalErrors).to.equal(3);
    expect(sum.examples).to.deep.equal([...old.slice(0, 2), ...recent.slice(0, 1)]);
    const many = addSnapshots(
      { ...EMPTY_SNAPSHOT, examples: old },
      { ...EMPTY_SNAPSHOT, examples: recent.slice(0, 1) },
    );
    expect(many.examples).to.have.length(MAX_EXAMPLES);
    expect(many.examples[0]).to.deep.equal(recent[0]);
  });

  it('are given with the labels that OpenTelemetry names, by target and status', () => {
    const [good, bad] = [exampleOf(), exampleOf({ status: 503, failed: true })];
    const of = exemplarsOf([good, bad]);
    const labels = ({ traceId }: LatencyExample) => ({ trace_id: traceId, span_id: SPAN });
    expect(of(WEB)?.map((one) => one.labels)).to.deep.equal([labels(good), labels(bad)]);
    expect(of(WEB, 503)).to.deep.equal([{ labels: labels(bad), value: 3, at: 1000 }]);
    expect(of('other:80')).to.equal(undefined);
  });

  it('are in protobuf only, and pass through reports of workers', () => {
    const counters = new ProxyCounters({ known: (label) => label === WEB });
    for (const label of [WEB, 'nobody:80']) {
      const target = begun(counters, label);
      target.answered(3);
      target.response(200, 3);
      counters.example(label, exampleOf({ traceId: 'f'.repeat(32) }));
    }
    const { examples } = counters.snapshot();
    expect(examples.map(({ target }) => target)).to.deep.equal([WEB, 'other']);
    const occurrences = (view: CountersView) => {
      const out = countersExposition(view, 'inbound');
      const bytes = Buffer.concat([...out.pieces().protobuf()]).toString('latin1');
      expect(out.text).not.to.include('f'.repeat(32));
      return bytes.split('f'.repeat(32)).length - 1;
    };
    // With bounds, and natively, of both targets.
    expect(occurrences(counters.view())).to.equal(4);
    const sent = JSON.parse(JSON.stringify(counters.snapshot())) as typeof EMPTY_SNAPSHOT;
    expect(occurrences(viewOf(addSnapshots(EMPTY_SNAPSHOT, sent)))).to.equal(4);
  });
});

import { expect } from 'chai';
import {
  annotatedGateway,
  EXPORT_MODES,
  exportLabel,
  exportSelector,
  isExportedAs,
  isExportedByAnnotation,
  overBudgetAnnotations,
  overBudgetOf,
} from '../../../../src/api/exports/export-marks.ts';

const annotated = (annotations: Record<string, string>) => ({ metadata: { annotations } });

describe('marks of exported Services', () => {
  for (const mode of EXPORT_MODES)
    it(`are read as they are written: ${mode}`, () => {
      const { key, value } = exportLabel(mode);
      const service = { metadata: { labels: { [key]: value } } };
      expect(EXPORT_MODES.filter((one) => isExportedAs(service, one))).to.deep.equal([mode]);
      expect(exportSelector(mode)).to.equal(`${key}=${value}`);
    });

  it('may be annotations, the older way, with a gateway', () => {
    const older = annotated({ 'mirror.linkerd.io/gateway-ns': 'edge' });
    expect(isExportedByAnnotation(older)).to.equal(true);
    expect(annotatedGateway(older)).to.equal('edge/linkerd-gateway');
    expect(isExportedByAnnotation(annotated({ 'mirror.linkerd.io/exported': 'true' }))).to.equal(true);
    expect(isExportedByAnnotation(annotated({}))).to.equal(false);
  });

  it('stay on a Service that was cut down for its size', () => {
    const said = { 'mirror.linkerd.io/gateway-ns': 'edge', other: 'x'.repeat(10_000) };
    const cut = annotated(overBudgetAnnotations(said, 'it has 2000 ports'));
    expect(overBudgetOf(cut)).to.equal('it has 2000 ports');
    expect(annotatedGateway(cut)).to.equal(annotatedGateway(annotated(said)));
    expect(Object.keys(cut.metadata.annotations)).not.to.include('other');
  });
});

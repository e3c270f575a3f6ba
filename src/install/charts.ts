import path from 'node:path';

const CHARTS = path.join(import.meta.dirname, '../../charts');
/** The chart of everything but the CRD. */
export const CHART = path.join(CHARTS, 'linkspan');
/** The chart of the CRD. */
export const CRD_CHART = path.join(CHARTS, 'linkspan-crds');
/** Name of the release, as far as the chart's labels say one. */
export const RELEASE = 'linkspan';
/** Kubernetes that manifests are made for where no cluster is asked: the oldest that the chart accepts. */
export const OLDEST_KUBERNETES = '1.30.0';

import path from 'node:path';

const CHARTS = path.join(import.meta.dirname, '../../charts');
/** The chart of everything but the CRD. */
export const CHART = path.join(CHARTS, 'linkspan');
/** The chart of the CRD. */
export const CRD_CHART = path.join(CHARTS, 'linkspan-crds');
/** Helm release name that the chart is rendered with. */
export const RELEASE = 'linkspan';
/** Kubernetes version that is assumed where no cluster is asked: the oldest that the chart accepts. */
export const OLDEST_KUBERNETES = '1.30.0';

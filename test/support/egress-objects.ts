import { exportObjects } from './exports.ts';

/** Where the one pod of an egress takes what; what is absent it does not. */
export interface EgressPorts {
  /** For controllers, which ask it what it knows. */
  readonly admin?: number;
  /** For requests to Services of several clusters. */
  readonly groups?: number;
}

/** The Service of an egress, headless as the chart's, and the slice with its pod, which slices lead to. */
export function egressObjects(namespace: string, pod: string, ports: EgressPorts = {}): object[] {
  return exportObjects(namespace, 'linkspan-egress', {
    test: '',
    as: 'nothing',
    spec: { clusterIP: 'None', ports: [{ name: 'admin', port: 4192 }] },
    endpoints: [{ addresses: [pod], conditions: { ready: true } }],
    ports: Object.entries(ports).map(([name, port]) => ({ name, port, protocol: 'TCP' })),
  });
}

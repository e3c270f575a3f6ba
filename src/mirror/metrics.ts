import { Gauge, type Registry } from '../telemetry/metrics.ts';
import type { Controller } from './controller.ts';

/** Publishes what the controller knows, read when Prometheus asks; label names are Linkerd's (`target_cluster_name`). */
export function publishMirrorMetrics(registry: Registry, controller: Controller): void {
  const gauge = (name: string, help: string, labels: string[], collect: (gauge: Gauge) => void) => {
    const metric: Gauge = new Gauge({
      name,
      help,
      labelNames: labels,
      registers: [registry],
      collect() {
        metric.reset();
        collect(metric);
      },
    });
  };
  const eachPeer = (
    visit: (
      cluster: string,
      peer: NonNullable<Controller['runs'] extends Map<string, infer R> ? R : never>,
    ) => void,
  ) => {
    for (const [key, run] of controller.runs) visit(key.slice(key.indexOf('/') + 1), run);
  };
  gauge('linkspan_mirrors', 'Mirror Services that exist.', ['target_cluster_name'], (metric) =>
    eachPeer(
      (cluster, run) => run.peer && metric.set({ target_cluster_name: cluster }, run.peer.mirrorCount),
    ),
  );
  gauge(
    'linkspan_mirror_verdicts',
    'Exported Services by what was decided about them.',
    ['target_cluster_name', 'reason'],
    (metric) =>
      eachPeer((cluster, run) => {
        for (const reason of run.peer?.verdicts.values() ?? [])
          metric.inc({ target_cluster_name: cluster, reason });
      }),
  );
  gauge('linkspan_queue_depth', 'Services that wait to be looked at.', ['target_cluster_name'], (metric) =>
    eachPeer((cluster, run) => run.peer && metric.set({ target_cluster_name: cluster }, run.peer.depth)),
  );
  gauge(
    'linkspan_peer_synced',
    '1 when the first complete list of the target has arrived.',
    ['target_cluster_name'],
    (metric) =>
      eachPeer(
        (cluster, run) =>
          run.peer && metric.set({ target_cluster_name: cluster }, Number(run.peer.exports.synced)),
      ),
  );
  gauge(
    'linkspan_peer_last_word_seconds',
    'Seconds since the target cluster was last heard of.',
    ['target_cluster_name'],
    (metric) =>
      eachPeer((cluster, run) => {
        const lastWord = run.peer?.exports.lastWord;
        if (lastWord === undefined) return;
        metric.set({ target_cluster_name: cluster }, (controller.options.clock.now() - lastWord) / 1000);
      }),
  );
}

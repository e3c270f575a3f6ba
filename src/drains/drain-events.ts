import type { DrainEvent } from '../api/failover/failover-reasons.ts';
import { links } from '../api/link/link-schema.ts';
import { systemClock } from '../base/clock.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { EventRecorder } from '../kube/events/event-recorder.ts';
import type { Logger } from '../telemetry/log.ts';
import type { DrainWrite } from './drain-plan.ts';

/** What is told of a drain or a drill. */
export interface DrainNews {
  readonly reason: DrainEvent;
  readonly message: string;
  readonly isWarning?: boolean;
}

/**
 * Writes an Event about a drain on the Link, or the Service, that it stands on. Whoever may drain need not be
 * allowed to write Events: where it cannot be written, the log says so and nothing fails.
 */
export async function tellDrainNews(
  client: Pick<KubeClient, 'create' | 'patch'>,
  { on, kind }: Pick<DrainWrite, 'on' | 'kind'>,
  { reason, message, isWarning = false }: DrainNews,
  log: Logger,
): Promise<void> {
  const { name, namespace, uid } = on.metadata ?? {};
  const regarding = {
    ...(kind === 'links'
      ? { apiVersion: `${links.group}/${links.version}`, kind: links.kind }
      : { apiVersion: 'v1', kind: 'Service' }),
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
  };
  const recorder = new EventRecorder({
    client,
    component: 'linkspan',
    instance: 'cli',
    clock: systemClock,
    log,
  });
  recorder.record({ regarding, type: isWarning ? 'Warning' : 'Normal', reason, message });
  await recorder.flush();
}

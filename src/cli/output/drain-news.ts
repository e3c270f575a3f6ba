import { type DrainNews, tellDrainNews } from '../../drains/drain-events.ts';
import type { DrainWrite } from '../../drains/drain-plan.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { createLogger } from '../../telemetry/log.ts';

/** As `tellDrainNews`, with a log on stderr for what cannot be written. */
export function tellDrain(
  client: Pick<KubeClient, 'create' | 'patch'>,
  write: Pick<DrainWrite, 'on' | 'kind'>,
  news: DrainNews,
): Promise<void> {
  const log = createLogger({ name: 'cli', level: 'warn', destination: process.stderr });
  return tellDrainNews(client, write, news, log);
}

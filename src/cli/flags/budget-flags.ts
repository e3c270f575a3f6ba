import type { Command } from 'commander';
import { getHeapStatistics } from 'node:v8';
import { z } from 'zod';
import { formatDuration } from '../../base/duration.ts';
import { memoryLimit } from '../../base/memory-limit.ts';
import { defaultTotal } from '../../kube/budget/total-budget.ts';
import { TARGET_BUDGETS, type TargetBudgets } from '../../controllers/settings/target-budgets.ts';
import { durationFlag } from './cluster-flags.ts';

const UNITS: Readonly<Record<string, number>> = { '': 1, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 };

/** A size as Kubernetes writes quantities of memory, `64Mi`; bytes. */
const sizeFlag = z.string().transform((text, context) => {
  const unit = Object.keys(UNITS).findLast((suffix) => text.endsWith(suffix)) ?? '';
  const amount = Number(text.slice(0, text.length - unit.length));
  const bytes = amount * (UNITS[unit] ?? 1);
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  context.addIssue({ code: 'custom', message: `"${text}" is not a size such as 64Mi` });
  return z.NEVER;
});

const countFlag = z.coerce.number().int().min(1);

/**
 * Smallest limit of an answer's size, bytes: one object may be this large, so that less would park every
 * Link.
 */
const MIN_ANSWER = 1024 * 1024;

/** Budgets of what one linked cluster may make the controller hold, read and write. */
export const budgetFlags = {
  maxAnswerSize: sizeFlag.refine((bytes) => bytes >= MIN_ANSWER, { error: 'must be at least 1Mi' }),
  maxAnswerTime: durationFlag.refine((ms) => ms >= 1000, { error: 'must be at least 1s' }),
  maxListPages: countFlag,
  maxPeerMemory: sizeFlag,
  maxTotalMemory: z.literal('auto').or(sizeFlag),
  maxPeerObjects: countFlag,
  maxPeerServices: countFlag,
  maxPeerPorts: countFlag,
  maxPeerMetadata: sizeFlag,
  maxPeerNamespaces: countFlag,
  maxPeerWatches: countFlag,
  maxPeerChanges: countFlag,
  maxServiceMetadata: sizeFlag,
};
const schema = z.object(budgetFlags);

/** Adds them to a verb. */
export function withBudgetFlags(command: Command): Command {
  const { answer, pages, held, serviceMetadata, changesPerSecond } = TARGET_BUDGETS;
  const size = (bytes: number) => (bytes % 1024 ** 2 === 0 ? `${bytes / 1024 ** 2}Mi` : `${bytes / 1024}Ki`);
  return command
    .option('--max-answer-size <size>', 'bytes of one answer of a linked cluster', size(answer.bytes))
    .option(
      '--max-answer-time <time>',
      'time for one whole answer of a linked cluster',
      formatDuration(answer.ms),
    )
    .option('--max-list-pages <n>', 'pages of one list of a linked cluster', String(pages))
    .option('--max-peer-memory <size>', 'memory for the objects of one linked cluster', size(held.bytes))
    .option(
      '--max-total-memory <size>',
      'memory for the objects of all linked clusters together; auto: half of the heap that this process may have',
      'auto',
    )
    .option('--max-peer-objects <n>', 'objects of one linked cluster', String(held.objects))
    .option('--max-peer-services <n>', 'exported Services of one linked cluster', String(held.services))
    .option('--max-peer-ports <n>', 'ports of its exported Services', String(held.ports))
    .option(
      '--max-peer-metadata <size>',
      'labels and annotations of its exported Services',
      size(held.metadata),
    )
    .option('--max-peer-namespaces <n>', 'namespaces of its exported Services', String(held.namespaces))
    .option(
      '--max-peer-watches <n>',
      'exported Services and gateways with a watch of their own',
      String(held.watches),
    )
    .option(
      '--max-peer-changes <n>',
      'writes a second that one linked cluster may cause, lasting',
      String(changesPerSecond),
    )
    .option(
      '--max-service-metadata <size>',
      'labels and annotations of one exported Service',
      size(serviceMetadata),
    );
}

/** The budgets from the flags. */
export function budgetsOf(flags: z.output<typeof schema>): TargetBudgets {
  return {
    answer: { bytes: flags.maxAnswerSize, ms: flags.maxAnswerTime },
    pages: flags.maxListPages,
    held: {
      bytes: flags.maxPeerMemory,
      objects: flags.maxPeerObjects,
      services: flags.maxPeerServices,
      ports: flags.maxPeerPorts,
      metadata: flags.maxPeerMetadata,
      namespaces: flags.maxPeerNamespaces,
      watches: flags.maxPeerWatches,
    },
    total:
      flags.maxTotalMemory === 'auto'
        ? defaultTotal(getHeapStatistics().heap_size_limit, memoryLimit())
        : flags.maxTotalMemory,
    serviceMetadata: flags.maxServiceMetadata,
    changesPerSecond: flags.maxPeerChanges,
  };
}

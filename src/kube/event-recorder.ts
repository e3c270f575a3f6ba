import type { CoreV1Event, V1ObjectReference } from '@kubernetes/client-node';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../telemetry/log.ts';
import type { KubeClient } from './client.ts';
import { events } from './resource.ts';

/** Something worth telling whoever looks at an object (`kubectl describe`). */
export interface EventNote {
  readonly regarding: V1ObjectReference;
  readonly type: 'Normal' | 'Warning';
  /** A reason constant (docs/reference/reasons.md). */
  readonly reason: string;
  readonly message: string;
}

/** Notes that wait to be written; beyond it the oldest are dropped, since Events are best effort. */
const MAX_WAITING = 500;
/** The same note within this time is counted, not written again. */
const AGGREGATE_MS = 600_000;
const MAX_KNOWN = 2000;

interface Known {
  readonly name: string;
  count: number;
  readonly until: number;
}

/**
 * Writes core/v1 Events, one at a time, never failing its caller. The same thing said again about the same object raises a count.
 */
export class EventRecorder {
  readonly #options: { client: KubeClient; component: string; instance: string; clock: Clock; log: Logger };
  readonly #waiting: EventNote[] = [];
  readonly #known = new Map<string, Known>();
  #writing: Promise<void> | undefined;
  #serial = 0;

  constructor(options: {
    client: KubeClient;
    component: string;
    instance: string;
    clock: Clock;
    log: Logger;
  }) {
    this.#options = options;
  }

  record(note: EventNote): void {
    if (this.#waiting.length >= MAX_WAITING) this.#waiting.shift();
    this.#waiting.push(note);
    this.#writing ??= this.#drain();
  }

  /** Resolves when everything recorded so far has been written or given up. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #drain(): Promise<void> {
    // Leaves the caller's turn first, so that a burst is seen as one.
    await Promise.resolve();
    for (let note = this.#waiting.shift(); note !== undefined; note = this.#waiting.shift()) {
      try {
        await this.#write(note);
      } catch (error) {
        this.#options.log.debug({ reason: note.reason, err: error }, 'event not written');
      }
    }
    this.#writing = undefined;
  }

  async #write(note: EventNote): Promise<void> {
    const { client, component, instance, clock } = this.#options;
    const namespace = note.regarding.namespace ?? 'default';
    const key = JSON.stringify([note.regarding.uid, note.regarding.name, note.reason, note.message]);
    const now = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    const known = this.#known.get(key);
    if (known !== undefined && clock.monotonic() < known.until) {
      known.count += 1;
      await client.patch(
        events,
        { namespace, name: known.name },
        { count: known.count, lastTimestamp: now },
        { type: 'merge' },
      );
      return;
    }
    const name = `${note.regarding.name ?? 'event'}.${clock.now().toString(16)}${(this.#serial++).toString(16)}`;
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { namespace, name },
      involvedObject: note.regarding,
      type: note.type,
      reason: note.reason,
      message: note.message.slice(0, 1024),
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component },
      reportingComponent: component,
      reportingInstance: instance,
    };
    await client.create(events, event as unknown as CoreV1Event);
    if (this.#known.size >= MAX_KNOWN) this.#known.delete(this.#known.keys().next().value ?? '');
    this.#known.set(key, { name, count: 1, until: clock.monotonic() + AGGREGATE_MS });
  }
}

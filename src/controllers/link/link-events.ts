import type { V1Service } from '@kubernetes/client-node';
import { exportSelector } from '../../api/exports/export-marks.ts';
import type { EventRecorder } from '../../kube/events/event-recorder.ts';
import { links, type Link } from '../../api/link/link-schema.ts';
import type { Logger } from '../../telemetry/log.ts';
import { portsLeftOut } from '../objects/mirrored-ports.ts';
import {
  type EventReason,
  isRefusedOrHeld,
  isUnmirrored,
  type MirrorReason,
} from '../../api/reasons/mirror-reasons.ts';
import type { Outcome } from '../reconcile/reconciler.ts';

/**
 * Tells people of changes of a Link, by Events and the log lines that go with them; of each change once.
 */
export class LinkEvents {
  readonly #link: Link;
  readonly #events: EventRecorder;
  readonly #log: Logger;
  /** Events about single Services that have been recorded, by reason and key. */
  readonly #told = new Set<string>();

  constructor(options: { readonly link: Link; readonly events: EventRecorder; readonly log: Logger }) {
    this.#link = options.link;
    this.#events = options.events;
    this.#log = options.log;
  }

  /** A Service is exported, or its export has changed. @param annotated whether by an annotation */
  exported(key: string, service: V1Service, annotated: boolean): void {
    const where = `${key} of cluster ${this.#link.targetClusterName}`;
    if (annotated) {
      const label = exportSelector('gateway');
      this.#once(key, 'AnnotationExport', `${where} is exported by an annotation; use the label ${label}`);
    }
    const leftOut = portsLeftOut(service);
    if (leftOut.length > 0)
      this.#once(key, 'PortsLeftOut', `${where}: only TCP is mirrored, left out: ${leftOut.join(', ')}`);
  }

  /** A Service is no longer exported: if it is again, its Events are recorded again. */
  forget(key: string): void {
    this.#told.delete(`AnnotationExport ${key}`);
    this.#told.delete(`PortsLeftOut ${key}`);
  }

  /**
   * The outcome of a Service has changed. Records why it is not mirrored, or is of no use to some clients,
   * once for each reason, and what was left out of it.
   */
  outcome(key: string, outcome: Outcome, before: Outcome | undefined): void {
    this.#notes(key, outcome, before);
    const { reason, message, local } = outcome;
    if (before?.reason === reason && before.refused === outcome.refused) return;
    if (reason === 'AddressFamilyMismatch') {
      this.#log.warn({ service: key, reason, mirror: local, why: message }, 'mirror of use to few');
      this.warn(reason, `${key} of cluster ${this.#link.targetClusterName}: ${message}`);
      return;
    }
    if (!isUnmirrored(reason) && !isRefusedOrHeld(reason)) return;
    this.#log.warn({ service: key, reason, mirror: local, why: message }, 'service not mirrored');
    // Where the API server was not reached there is no Event: that passes by itself. What it refuses needs a
    // person.
    if (reason === 'Error' && outcome.refused !== true) return;
    const why = message === '' ? reason : `${reason}: ${message}`;
    this.warn(reason, `${key} of cluster ${this.#link.targetClusterName} is not mirrored: ${why}`);
  }

  /** Records what the import policy has left out of a mirror, as far as it was not left out before. */
  #notes(key: string, { notes = [] }: Outcome, before: Outcome | undefined): void {
    const known = new Set((before?.notes ?? []).map(({ reason, text }) => `${reason} ${text}`));
    for (const { reason, text } of notes)
      if (!known.has(`${reason} ${text}`))
        this.warn(reason, `${key} of cluster ${this.#link.targetClusterName}: ${text}`);
  }

  /** Records a Warning Event about the Link. */
  warn(reason: EventReason | MirrorReason, message: string): void {
    this.#tell('Warning', reason, message);
  }

  #once(key: string, reason: EventReason, message: string): void {
    const mark = `${reason} ${key}`;
    if (this.#told.has(mark)) return;
    this.#told.add(mark);
    this.#tell('Normal', reason, message);
  }

  #tell(type: 'Normal' | 'Warning', reason: EventReason | MirrorReason, message: string): void {
    const { name, namespace, uid } = this.#link;
    const regarding = {
      apiVersion: `${links.group}/${links.version}`,
      kind: links.kind,
      name,
      namespace,
      uid,
    };
    this.#events.record({ regarding, type, reason, message });
  }
}

import { listItems } from '../../base/text.ts';
import type { V1Service } from '@kubernetes/client-node';
import { type Annotations, readAnnotation } from '../annotations.ts';
import {
  ALLOWED_CLIENTS,
  DEFAULT_GATEWAY_NAME,
  EXPORT_GATEWAY_NAME,
  EXPORT_GATEWAY_NAMESPACE,
  EXPORTED_LABEL,
  FEDERATED_LABEL,
  OVER_BUDGET,
} from '../names.ts';

/** How a Service in the target says that it is exported: written and read here, and nowhere else. */

/** Ways to export a Service. */
export const EXPORT_MODES = ['gateway', 'flat', 'federated'] as const;
export type ExportMode = (typeof EXPORT_MODES)[number];

/** The label that exports a Service in a mode. */
export function exportLabel(mode: ExportMode): { readonly key: string; readonly value: string } {
  if (mode === 'federated') return { key: FEDERATED_LABEL, value: 'member' };
  return { key: EXPORTED_LABEL, value: mode === 'flat' ? 'remote-discovery' : 'true' };
}

/** The selector of what is exported in a mode. */
export function exportSelector(mode: ExportMode): string {
  const { key, value } = exportLabel(mode);
  return `${key}=${value}`;
}

/** Whether a Service is exported in a mode. */
export function isExportedAs(service: V1Service, mode: ExportMode): boolean {
  const { key, value } = exportLabel(mode);
  return service.metadata?.labels?.[key] === value;
}

/** Whether a Service is exported in the older way, by annotation. */
export function isExportedByAnnotation({ metadata }: V1Service): boolean {
  return (
    readAnnotation(metadata?.annotations, EXPORTED_LABEL) === 'true' ||
    (readAnnotation(metadata?.annotations, EXPORT_GATEWAY_NAMESPACE) ?? '') !== ''
  );
}

/** Longest `namespace/name` that a Service can have. */
const MAX_KEY = 317;

/**
 * The gateway that an export names by annotation, `namespace/name`; undefined when it goes through the
 * Link's. Text that can be no Service's name is none.
 */
export function annotatedGateway(service: V1Service): string | undefined {
  const annotations = service.metadata?.annotations;
  const namespace = readAnnotation(annotations, EXPORT_GATEWAY_NAMESPACE);
  if (namespace === undefined || namespace === '') return undefined;
  const name = readAnnotation(annotations, EXPORT_GATEWAY_NAME) || DEFAULT_GATEWAY_NAME;
  return `${namespace}/${name}`.slice(0, MAX_KEY);
}

/**
 * Annotations that say whether and how a Service is exported; without them it would look as if it were not.
 */
const EXPORT_KEYS = [EXPORTED_LABEL, EXPORT_GATEWAY_NAMESPACE, EXPORT_GATEWAY_NAME] as const;
/** What they name are DNS names. */
const MAX_NAME = 253;

/**
 * What is left of the annotations of a Service that is more than one may be: how it is exported, and why it
 * was cut down.
 */
export function overBudgetAnnotations(
  annotations: Annotations | undefined,
  why: string,
): Record<string, string> {
  const kept = EXPORT_KEYS.flatMap((key) => {
    const value = readAnnotation(annotations, key);
    return value !== undefined && value.length <= MAX_NAME ? [[key, value] as const] : [];
  });
  return { ...Object.fromEntries(kept), [OVER_BUDGET]: why };
}

/**
 * The Service without that mark, which only we may set: an export does not say itself that it is too large.
 */
export function withoutOverBudget(service: V1Service): V1Service {
  if (overBudgetOf(service) === undefined) return service;
  const { [OVER_BUDGET]: _, ...annotations } = service.metadata?.annotations ?? {};
  return { ...service, metadata: { ...service.metadata, annotations } };
}

/** Why a Service was cut down; undefined when it was not. */
export function overBudgetOf(service: V1Service | undefined): string | undefined {
  return readAnnotation(service?.metadata?.annotations, OVER_BUDGET);
}

/**
 * Patterns of the Service's own annotation; undefined without it. An annotation without entries lets nobody
 * in: it was meant to restrict.
 */
export function allowedClients(service: V1Service): string[] | undefined {
  const list = readAnnotation(service.metadata?.annotations, ALLOWED_CLIENTS);
  return list === undefined ? undefined : listItems(list);
}

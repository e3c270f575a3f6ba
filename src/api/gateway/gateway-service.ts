import type { V1Service, V1ServicePort } from '@kubernetes/client-node';
import { formatDuration, parseDuration } from '../../base/duration.ts';
import { readAnnotation } from '../annotations.ts';
import {
  GATEWAY_IDENTITY,
  GATEWAY_PORT_NAME,
  GATEWAY_PROBE_PATH,
  GATEWAY_PROBE_PERIOD,
  PROBE_PORT_NAME,
} from '../names.ts';

/** Annotations of a gateway's Service, by what they say. */
export const GATEWAY_ANNOTATIONS = {
  /** TLS identity that clients must demand. */
  identity: GATEWAY_IDENTITY,
  /** Path to ask for, and how often. */
  probePath: GATEWAY_PROBE_PATH,
  probePeriod: GATEWAY_PROBE_PERIOD,
} as const;

/** Names of a gateway's ports, by what they are for. */
export const GATEWAY_PORTS = { traffic: GATEWAY_PORT_NAME, probe: PROBE_PORT_NAME } as const;

/** What a gateway's Service says; undefined where it says nothing, or nothing that is short enough. */
export function gatewayAnnotation(
  { metadata }: V1Service,
  what: keyof typeof GATEWAY_ANNOTATIONS,
): string | undefined {
  return readAnnotation(metadata?.annotations, GATEWAY_ANNOTATIONS[what]) || undefined;
}

/** The port of a gateway's Service for a purpose. */
export function gatewayPort(
  { spec }: V1Service,
  what: keyof typeof GATEWAY_PORTS,
): V1ServicePort | undefined {
  return spec?.ports?.find(({ name }) => name === GATEWAY_PORTS[what]);
}

/**
 * The period of probes as Links have it: `3` → `3s`, since Linkerd's controller takes Go's durations only,
 * which have a unit and know no days. Undefined where the text is no period.
 */
export function probePeriod(text: string): string | undefined {
  const ms = parseDuration(text);
  if (ms === undefined || ms === 0) return undefined;
  return /^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text) ? text : formatDuration(ms);
}

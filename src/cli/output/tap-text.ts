import type { TapFlow } from '../../api/answers/tap-events.ts';
import { textBefore } from '../../base/text.ts';

/** A flow, and which pod of which cluster has seen it. */
export type SeenFlow = TapFlow & { readonly pod: string; readonly cluster: string };

/** A flow in one line. @param wide with what helps to find the very pods and certificates */
export function tapLine(flow: SeenFlow, wide: boolean): string {
  const parts = [
    `${new Date(flow.at).toISOString().slice(11, 23)} ${flow.process} ${flow.cluster}`,
    `${clientOf(flow, wide)} → ${targetOf(flow)}${flow.endpoint === undefined ? '' : ` ${flow.endpoint}`}`,
    requestOf(flow),
    timesOf(flow),
    `in ${bytes(flow.bytesIn)} out ${bytes(flow.bytesOut)}`,
    flow.tries === undefined || flow.tries < 2 ? '' : `tries ${flow.tries}`,
    flow.fault === undefined ? '' : `fault ${flow.fault}`,
    [flow.failure, flow.reason].filter((word) => word !== undefined).join(': '),
    ...(wide ? [flow.protocol, `pod ${flow.pod}`, `id ${flow.id}`, traceOf(flow)] : []),
  ];
  return `${parts.filter((part) => part !== '').join('  ')}\n`;
}

function clientOf({ client }: TapFlow, wide: boolean): string {
  const { identity, address, via } = client;
  if (!wide) return identity === undefined ? (address ?? '?') : shortIdentity(identity);
  const from = [identity, address].filter((word) => word !== undefined).join(' ');
  return via === undefined ? from : `${from} (says ${via})`;
}

/** `default.east` of `default.east.serviceaccount.identity.linkerd.cluster.local`. */
function shortIdentity(identity: string): string {
  return textBefore(identity, '.serviceaccount.');
}

function targetOf({ target }: TapFlow): string {
  const name = target.mirror ?? target.service ?? target.name;
  const where = target.namespace === undefined ? name : `${target.namespace}/${name}`;
  return `${where}:${target.port}${target.cluster === undefined ? '' : ` in ${target.cluster}`}`;
}

function requestOf({ method, path, status, grpcStatus, protocol }: TapFlow): string {
  const asked =
    method === undefined ? protocol : [method, path].filter((word) => word !== undefined).join(' ');
  const grpc = grpcStatus === undefined ? '' : ` grpc ${grpcStatus}`;
  return `${asked}${status === undefined ? '' : `  ${status}`}${grpc}`;
}

function timesOf({ type, firstByteMs, totalMs }: TapFlow): string {
  if (type === 'open') return `open for ${duration(totalMs)}`;
  return `${firstByteMs === undefined ? '' : `first ${duration(firstByteMs)} `}total ${duration(totalMs)}`;
}

function duration(ms: number): string {
  return ms < 10_000 ? `${ms.toFixed(1)}ms` : `${(ms / 1000).toFixed(1)}s`;
}

function traceOf({ traceId }: TapFlow): string {
  return traceId === undefined ? '' : `trace ${traceId}`;
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

function bytes(count: number): string {
  let [value, unit] = [count, 0];
  while (value >= 1000 && unit < UNITS.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 ? value : value.toFixed(1)}${UNITS[unit] ?? ''}`;
}

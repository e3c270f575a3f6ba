import { splitTargetKey } from '../api/ports/target-key.ts';
import type { TargetSource } from '../discovery/target-spec.ts';
import { lookUp } from './service-table.ts';
import type { PartHealth } from '../telemetry/admin.ts';

/** A readiness request for a Service or one of its ports, `/ready/<namespace>/<service>[?port=]`. */
export interface ReadinessQuery {
  readonly namespace: string;
  readonly service: string;
  /** Absent: all ports of the Service. */
  readonly port?: number;
}

/** Parses a path below `/ready/` and its query; undefined where they are invalid. */
export function readinessQuery(path: readonly string[], query: URLSearchParams): ReadinessQuery | undefined {
  const [namespace, service, ...rest] = path;
  if (!namespace || !service || rest.length > 0) return undefined;
  const port = query.get('port');
  if (port === null) return { namespace, service };
  return /^\d{1,5}$/.test(port) ? { namespace, service, port: Number(port) } : undefined;
}

/**
 * Whether an exported Service can take requests: 200 when each of its ports (or the requested one) has a
 * ready endpoint, 503 with the reason when one has none, 404 when it is not exported. By discovery only;
 * whether endpoints fail requests is in the metrics. Pure.
 */
export function targetReadiness(targets: TargetSource, question: ReadinessQuery): PartHealth {
  const name = `${question.namespace}/${question.service}`;
  const problems: string[] = [];
  let found = false;
  for (const key of targets.keys()) {
    if (!isAskedFor(key, question)) continue;
    found = true;
    const endpoints = lookUp(targets, key)?.endpoints ?? [];
    const ready = endpoints.filter((endpoint) => endpoint.ready).length;
    if (ready > 0) continue;
    problems.push(`no ready endpoints for ${key} (${endpoints.length} known, ${ready} ready)`);
  }
  if (problems.length > 0) return { status: 503, reason: problems.join('; ') };
  if (found) return { status: 200, reason: '' };
  // Before the targets are known a missing one may still be exported.
  if (!targets.ready.ok) return { status: 503, reason: targets.ready.reason };
  const port = question.port === undefined ? '' : ` port ${question.port}`;
  return { status: 404, reason: `${name}${port} is not exported by this cluster` };
}

/** Whether a key `service.namespace.svc.domain:port` is of a requested port. */
function isAskedFor(key: string, { namespace, service, port }: ReadinessQuery): boolean {
  const { name, port: found } = splitTargetKey(key);
  const [of, in_, svc] = name.split('.', 3);
  if (of !== service.toLowerCase() || in_ !== namespace.toLowerCase() || svc !== 'svc') return false;
  return port === undefined || port === Number(found);
}

/** The best of several processes' answers, since one that has just started knows less. */
export function bestReadiness(answers: readonly PartHealth[]): PartHealth {
  const rank = { 200: 0, 503: 1, 404: 2 } as const;
  const [best] = [...answers].sort((a, b) => rank[a.status] - rank[b.status]);
  return best ?? { status: 503, reason: 'no worker answers' };
}

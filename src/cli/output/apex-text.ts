import type { V1Service } from '@kubernetes/client-node';
import { FAILOVER_CONDITIONS } from '../../api/failover/failover-names.ts';
import { isMirrored } from '../../api/mirror/mirror-labels.ts';
import type { GroupRow } from '../queries/failover-rows.ts';
import { failoverText } from './failover-text.ts';

const TYPES: readonly string[] = Object.values(FAILOVER_CONDITIONS);

/**
 * What became of a user's Service that is to lead elsewhere: its conditions, and who serves it.
 * @param rows of its namespace
 * @param now milliseconds since the epoch
 * @returns undefined: it is a mirror, or nothing of ours says anything of it
 */
export function apexText(service: V1Service, rows: readonly GroupRow[], now: number): string | undefined {
  const { namespace = '', name = '' } = service.metadata ?? {};
  const conditions = (service.status?.conditions ?? []).filter(({ type }) => TYPES.includes(type));
  if (isMirrored(service) || conditions.length === 0) return undefined;
  const lines = conditions.map(({ type, status, reason, message }) => {
    const why = [reason, message].filter((text) => text !== '').join(': ');
    return [type.slice(type.indexOf('/') + 1), `${status}, ${why}`] as const;
  });
  const own = rows.filter(({ service: shown }) => shown.split(/[: ]/)[0] === name);
  const said = [['Service', `${namespace}/${name} of this cluster`] as const, ...lines];
  const text = said.map(([label, one]) => `${label.padEnd(16)}${one}\n`).join('');
  return own.length === 0 ? text : `${text}\n${failoverText(own, now)}`;
}

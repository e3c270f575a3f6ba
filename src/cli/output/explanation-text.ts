import { LOCAL } from '../../api/names.ts';
import { type Explanation, type LinkReport } from '../../api/answers/admin-answers.ts';
import { age } from './output.ts';

/** The explanations of clusters that export the name, or all where none does. */
export function relevantExplanations(found: readonly Explanation[]): Explanation[] {
  const exported = found.filter((one) => one.exported || one.clusterIP !== null);
  return (exported.length > 0 ? exported : [...found]).sort((a, b) => (a.link < b.link ? -1 : 1));
}

/** The text for people. */
export function explainText(
  found: readonly Explanation[],
  links: readonly LinkReport[],
  name: string,
): string {
  const silent = links
    .filter(({ mirrors }) => mirrors === undefined)
    .map(({ link, problem }) => `Link ${link}: ${problem ?? 'the replica that keeps it did not answer'}\n`);
  if (found.length === 0 && silent.length === 0)
    return `There is no Link, so nothing can be said of ${name}.\n`;
  return [...found.map(explanationText), ...silent].join('\n');
}

function explanationText(one: Explanation): string {
  const isLocal = one.link === LOCAL;
  const lines: [string, string][] = [
    [one.kind === 'mirror' ? 'Mirror' : 'Federated', `${one.service.split('/')[0] ?? ''}/${one.local}`],
    [
      'Of',
      isLocal
        ? `${one.service} of this cluster`
        : `${one.service} in cluster ${one.cluster} (Link ${one.link})`,
    ],
    ['Exported', one.exported ? `yes, by ${one.selectedBy ?? ''}` : 'no'],
    ['Mode', one.mode],
    ['Namespace', one.namespace],
    ['Verdict', one.message === '' ? one.reason : `${one.reason}: ${one.message}`],
    ['', one.meaning],
    [isLocal ? 'Itself' : 'Over there', remoteText(one)],
    ['Here', hereText(one)],
  ];
  if (!isLocal) lines.push(['Gateway', gatewayText(one)], ['Last word', lastWordText(one)]);
  return lines.map(([label, text]) => `${label.padEnd(12)}${text}\n`).join('');
}

function remoteText({ remote, exported }: Explanation): string {
  if (!exported) return '-';
  if (!remote.certain) return 'endpoints not known yet';
  return `${remote.ready} of ${remote.known} endpoints ready`;
}

function hereText({ clusterIP, endpoints }: Explanation): string {
  if (clusterIP === null) return 'no Service';
  return `${clusterIP}, endpoints: ${endpoints.length === 0 ? 'none' : endpoints.join(', ')}`;
}

function gatewayText({ gateway }: Explanation): string {
  if (gateway === null || gateway === undefined) return 'none';
  const addresses = gateway.addresses.map(({ address, state, reason, message, latencyMs }) => {
    const why = reason === undefined ? '' : ` ${reason}${message === '' ? '' : ` (${message})`}`;
    const latency = state === 'alive' && latencyMs !== undefined ? ` ${latencyMs.toFixed(1)} ms` : '';
    return `${address} ${state}${latency}${state === 'alive' ? '' : why}`;
  });
  return addresses.length === 0 ? gateway.path : `${gateway.path}: ${addresses.join(', ')}`;
}

function lastWordText({ lastWordSeconds, apiError, synced }: Explanation): string {
  const heard = lastWordSeconds === null ? 'never' : `${age(lastWordSeconds)} ago`;
  const list = synced ? '' : ', the first complete list has not arrived';
  return `${heard}${list}${apiError === null ? '' : `; API server not reachable: ${apiError}`}`;
}

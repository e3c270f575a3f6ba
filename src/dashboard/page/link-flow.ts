import type { MapEdgeRow } from '../snapshot.ts';
import { fullName, latency, perSecond, several } from './format.ts';
import { type Content, html } from './markup.ts';
import { pageHref } from './page-routes.ts';
import { tables } from './page-store.ts';
import { Panel } from './small-parts.ts';
import { Mark } from './status-mark.ts';
import { type Tone, addressTone, rowTone } from './tones.ts';

/** As many as each column shows. */
const MOST = 8;

interface Stop {
  readonly key: string;
  readonly name: Content;
  readonly detail: string;
  readonly tone: Tone;
}

/** The way through one link: who asks, by which pods, over which addresses, for which Services. */
export function LinkFlow({ edge }: { readonly edge: MapEdgeRow }) {
  const columns: readonly (readonly [string, readonly Stop[]])[] = [
    ['Clients', clients(edge)],
    ['Egress pods', pods(edge.context, 'egress')],
    ['Gateway addresses', addresses(edge)],
    ['Gateway pods', gatewayPods(edge)],
    ['Services', services(edge)],
  ];
  const note = html`<a href=${pageHref('links', [edge.context, edge.link])}>All of this Link</a>`;
  return html`<${Panel} title=${`${edge.source} → ${edge.target}`} note=${note}>
    <ol class="flow">
      ${columns.map(
        ([title, stops]) => html`<li key=${title}>
          <h3>${title} <span class="muted">${stops.length}</span></h3>
          ${stops.length === 0 ? html`<p class="muted">None is known.</p>` : ''}
          <ul>
            ${stops.slice(0, MOST).map(
              ({ key, name, detail, tone }) => html`<li key=${key}>
                <${Mark} tone=${tone} /><span class="stop-name">${name}</span><span class="muted">${detail}</span>
              </li>`,
            )}
          </ul>
          ${stops.length > MOST ? html`<p class="muted">and ${stops.length - MOST} more</p>` : ''}
        </li>`,
      )}
    </ol>
  </${Panel}>`;
}

function clients({ context, target }: MapEdgeRow): Stop[] {
  const own = Object.values(tables.edges.value).filter(
    (row) => row.context === context && row.via === 'egress' && row.dst_cluster === target,
  );
  const byClient = Map.groupBy(own, (row) => fullName({ namespace: row.src_namespace, name: row.src }));
  return [...byClient]
    .map(([name, rows]) => ({ name, rps: rows.reduce((sum, { rps }) => sum + (rps ?? 0), 0), rows }))
    .sort((a, b) => b.rps - a.rps)
    .map(({ name, rps, rows }) => ({
      key: name,
      name: html`<a href=${pageHref('clients', [], { q: rows[0]?.src ?? '' })}><bdi>${name}</bdi></a>`,
      detail: perSecond(rps),
      tone: rows.some(({ failing }) => failing) ? 'bad' : 'good',
    }));
}

function pods(context: string | undefined, kind: 'egress' | 'gateway'): Stop[] {
  return Object.values(tables.processes.value)
    .filter((row) => row.context === context && row.kind === kind)
    .map((row) => ({
      key: row.name,
      name: html`<a href=${pageHref('processes', [], { q: row.name })}><bdi>${row.name}</bdi></a>`,
      detail: perSecond(row.requests_rps),
      tone: rowTone({ ...row, rps: row.requests_rps }).tone,
    }));
}

function gatewayPods({ target }: MapEdgeRow): Stop[] {
  return pods(tables.nodes.value[target]?.context ?? undefined, 'gateway');
}

function addresses({ context, link }: MapEdgeRow): Stop[] {
  const row = Object.values(tables.links.value).find((one) => one.context === context && one.name === link);
  const byAddress = Map.groupBy(row?.trunks ?? [], ({ address }) => address);
  return [...byAddress].map(([address, trunks]) => {
    const alive = trunks.filter(({ state }) => state === 'alive').length;
    const rtt = trunks.map(({ rtt_ms: ms }) => ms).filter((ms) => ms !== null);
    const mean = rtt.length === 0 ? null : rtt.reduce((sum, ms) => sum + ms, 0) / rtt.length;
    return {
      key: address,
      name: html`<bdi>${address}</bdi>`,
      detail: `${latency(mean)}, alive for ${alive} of ${several(trunks.length, 'pod')}`,
      tone: addressTone(alive > 0 ? 'alive' : (trunks[0]?.state ?? '')).tone,
    };
  });
}

function services({ context, target }: MapEdgeRow): Stop[] {
  return Object.entries(tables.mirrors.value)
    .filter(([, row]) => row.context === context && row.cluster === target)
    .sort(([, a], [, b]) => Number(b.failing) - Number(a.failing) || (b.rps ?? 0) - (a.rps ?? 0))
    .map(([key, row]) => ({
      key,
      name: html`<a href=${pageHref('services', [row.namespace || '-', row.name])}><bdi>${fullName(row)}</bdi></a>`,
      detail: perSecond(row.rps),
      tone: rowTone(row).tone,
    }));
}

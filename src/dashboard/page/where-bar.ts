import type { Tables } from '../snapshot.ts';
import { latency } from './format.ts';
import { html } from './markup.ts';

type Ends = Tables['mirrors'][string]['ends'];

/** A part of the time that a client waits. */
export interface TimePart {
  readonly name: 'egress' | 'gateway and endpoint' | 'network';
  readonly ms: number;
}

/**
 * How long the slowest of a hundred wait at the egress, and what of it the gateway sees and a round trip
 * takes. Quantiles do not add up exactly: what is left is the egress' own, and no less than nothing. Pure.
 */
export function timeParts(ends: Ends): TimePart[] {
  const { egress_ms_p99: egress, gateway_ms_p99: gateway, rtt_ms: rtt } = ends ?? {};
  if (typeof egress !== 'number' || typeof gateway !== 'number') return [];
  const there = Math.min(gateway, egress);
  const network = Math.min(rtt ?? 0, egress - there);
  return [
    { name: 'egress', ms: egress - there - network },
    { name: 'network', ms: network },
    { name: 'gateway and endpoint', ms: there },
  ];
}

const CLASSES: Readonly<Record<TimePart['name'], string>> = {
  egress: 'at-egress',
  network: 'at-network',
  'gateway and endpoint': 'at-endpoint',
};

/** Where most of the median goes, as a word; and how the p99 divides, as a bar. */
export function WhereBar({ ends, wide = false }: { readonly ends: Ends; readonly wide?: boolean }) {
  const parts = timeParts(ends);
  if (parts.length === 0) return html`<span class="none">${ends?.where ?? '–'}</span>`;
  const whole = parts.reduce((sum, { ms }) => sum + ms, 0) || 1;
  const words = parts.map(({ name, ms }) => `${name} ${latency(ms)}`).join(', ');
  return html`<span class=${wide ? 'where wide' : 'where'}>
    <span class="where-bar" role="img" aria-label=${`Of the p99: ${words}`} title=${words}>
      ${parts.map(({ name, ms }) => html`<span key=${name} class=${CLASSES[name]} style=${{ inlineSize: `${(ms / whole) * 100}%` }}></span>`)}
    </span>
    <span>${ends?.where ?? ''}</span>
    ${
      wide
        ? html`<ul class="where-legend">${parts.map(({ name, ms }) => html`<li key=${name}><span class=${`swatch ${CLASSES[name]}`} aria-hidden="true"></span>${name} <strong>${latency(ms)}</strong></li>`)}</ul>`
        : ''
    }
  </span>`;
}

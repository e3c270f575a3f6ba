import { html } from './markup.ts';
import type { PageName } from './page-routes.ts';

/** Lines of the signs beside the names of pages, on 16 by 16. */
const LINES: Readonly<Record<PageName, string>> = {
  now: 'M1.5 8.5h3l2-5 3 9 2-4h3',
  map: 'M3.5 5.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM12.5 14.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM3.5 5.5v4a3 3 0 0 0 3 3h4M10 3.5h4.5M12 1.5v4',
  links: 'M6.5 9.5l3-3M7 4.5 9 2.6a3 3 0 0 1 4.3 4.3L11.4 9M4.6 7 2.7 9.1A3 3 0 0 0 7 13.3l2-1.9',
  services: 'M2 2h5v5H2zM9 2h5v5H9zM2 9h5v5H2zM9 9h5v5H9z',
  clients: 'M8 7.5a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6zM2.5 14c.4-3 2.6-4.5 5.5-4.500s5.1 1.5 5.5 4.5',
  live: 'M8 9.500a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM4.5 11.500a5 5 0 0 1 0-7M11.5 4.500a5 5 0 0 1 0 7M2.2 13.800a8.2 8.2 0 0 1 0-11.600M13.8 2.200a8.2 8.2 0 0 1 0 11.6',
  processes: 'M2 3h12v4H2zM2 9h12v4H2zM4.5 5h.1M4.5 11h.1',
  reasons:
    'M3 2h8.500a1.5 1.5 0 0 1 1.5 1.500V14H4.500A1.5 1.5 0 0 1 3 12.500zM3 12.500A1.5 1.5 0 0 1 4.5 11H13M6 5h4M6 7.500h3',
};

export function PageIcon({ page }: { readonly page: PageName }) {
  return html`<svg class="line-icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${LINES[page]} /></svg>`;
}

/** Two clusters, and what spans between them. */
export function Brand() {
  return html`<svg viewBox="0 0 24 24" aria-hidden="true">
    <path class="brand-span" d="M4 16C6.5 7 17.5 7 20 16" />
    <circle cx="4" cy="16.5" r="3" /><circle cx="20" cy="16.5" r="3" />
  </svg>`;
}

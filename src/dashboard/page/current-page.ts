import type { VNode } from 'preact';
import { ClientsPage } from './clients-page.ts';
import { LinkPage } from './link-page.ts';
import { LinksPage } from './links-page.ts';
import { LivePage } from './live-page.ts';
import { MapPage } from './map-page.ts';
import { html } from './markup.ts';
import { place } from './navigation.ts';
import { NowPage } from './now-page.ts';
import type { PageName } from './page-routes.ts';
import { PageHead } from './page-states.ts';
import { ProcessesPage } from './processes-page.ts';
import { ReasonsPage } from './reasons-page.ts';
import { ServicePage } from './service-page.ts';
import { ServicesPage } from './services-page.ts';

type Draw = (key: string, parts: readonly string[]) => VNode;

/** What each address draws; with parts behind it, the page of one thing. */
const DRAWN: Readonly<Record<PageName, Draw>> = {
  now: (key) => html`<${NowPage} key=${key} />`,
  map: (key) => html`<${MapPage} key=${key} />`,
  links: (key, [context, name = '']) =>
    context === undefined
      ? html`<${LinksPage} key=${key} />`
      : html`<${LinkPage} key=${key} context=${context} name=${name} />`,
  services: (key, [namespace, name = '']) =>
    namespace === undefined
      ? html`<${ServicesPage} key=${key} />`
      : html`<${ServicePage} key=${key} namespace=${namespace === '-' ? '' : namespace} name=${name} />`,
  clients: (key) => html`<${ClientsPage} key=${key} />`,
  live: (key) => html`<${LivePage} key=${key} />`,
  processes: (key) => html`<${ProcessesPage} key=${key} />`,
  reasons: (key) => html`<${ReasonsPage} key=${key} />`,
};

/** The page that the address names. */
export function CurrentPage() {
  const { page, parts } = place.value;
  if (page === undefined)
    return html`<${PageHead} title="There is no such page" note=${html`<a href="/">To what happens now</a>`} />`;
  // A key of its own for each: what one has chosen within itself is not taken to the next.
  return DRAWN[page]([page, ...parts].join('/'), parts);
}

import { ClientsPage } from './clients-page.ts';
import { LinkPage } from './link-page.ts';
import { LinksPage } from './links-page.ts';
import { LivePage } from './live-page.ts';
import { MapPage } from './map-page.ts';
import { html } from './markup.ts';
import { place } from './navigation.ts';
import { NowPage } from './now-page.ts';
import { PageHead } from './page-states.ts';
import { ProcessesPage } from './processes-page.ts';
import { ReasonsPage } from './reasons-page.ts';
import { ServicePage } from './service-page.ts';
import { ServicesPage } from './services-page.ts';

/** The page that the address names. */
export function CurrentPage() {
  const { page, parts } = place.value;
  const [first = '', second = ''] = parts;
  // A key of its own for each: what one has chosen within itself is not taken to the next.
  const key = [page, ...parts].join('/');
  switch (page) {
    case 'now':
      return html`<${NowPage} key=${key} />`;
    case 'map':
      return html`<${MapPage} key=${key} />`;
    case 'links':
      return parts.length === 0
        ? html`<${LinksPage} key=${key} />`
        : html`<${LinkPage} key=${key} context=${first} name=${second} />`;
    case 'services':
      return parts.length === 0
        ? html`<${ServicesPage} key=${key} />`
        : html`<${ServicePage} key=${key} namespace=${first === '-' ? '' : first} name=${second} />`;
    case 'clients':
      return html`<${ClientsPage} key=${key} />`;
    case 'live':
      return html`<${LivePage} key=${key} />`;
    case 'processes':
      return html`<${ProcessesPage} key=${key} />`;
    case 'reasons':
      return html`<${ReasonsPage} key=${key} />`;
    default:
      return html`<${PageHead} title="There is no such page" note=${html`<a href="/">To what happens now</a>`} />`;
  }
}

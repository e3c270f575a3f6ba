import { effect } from '@preact/signals';
import { render } from 'preact';
import { announce } from './announcements.ts';
import { newsOf } from './card-order.ts';
import { followEvents } from './event-stream.ts';
import { followKeys } from './keyboard.ts';
import { html } from './markup.ts';
import { followLinks } from './navigation.ts';
import { CurrentPage } from './current-page.ts';
import { meta, tables } from './page-store.ts';
import { Shell } from './page-shell.ts';
import { showTheme } from './theme.ts';

/** Starts the page. */
showTheme();
followLinks();
followKeys();
followEvents();
tellNews();
const root = document.querySelector('#root');
if (root === null) throw new Error('index.html has no #root');
root.replaceChildren();
render(html`<${Shell}><${CurrentPage} /></${Shell}>`, root);

/** Says aloud what begins to fail, and not what failed when the page came. */
function tellNews(): void {
  let before: typeof tables.cards.value | undefined;
  effect(() => {
    const cards = tables.cards.value;
    if (meta.value === undefined) return;
    const news = before === undefined ? '' : newsOf(before, cards);
    before = cards;
    if (news !== '') announce(news);
  });
}

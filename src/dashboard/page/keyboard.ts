import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { keyAct, KEY_HELP } from './key-map.ts';
import { html } from './markup.ts';
import { goTo, hrefOfPage } from './navigation.ts';
import { nextTheme } from './theme.ts';

/** How long `g` waits for the key after it, milliseconds. */
const SEQUENCE_MS = 1500;

/** Whether the list of keys is open. */
export const helpOpen = signal(false);

/** Listens to keys, wherever the focus is. */
export function followKeys(): void {
  let before = { key: '', at: 0 };
  document.addEventListener('keydown', (event) => {
    const { key, target, metaKey, ctrlKey, altKey, timeStamp } = event;
    const after = timeStamp - before.at < SEQUENCE_MS ? before.key : '';
    const found = keyAct({ key, modified: metaKey || ctrlKey || altKey, typing: isField(target) }, after);
    before = { key: found.act === 'wait' ? key : '', at: timeStamp };
    if (found.act === 'none' || found.act === 'wait') return;
    event.preventDefault();
    if (found.act === 'go') goTo(hrefOfPage(found.page));
    if (found.act === 'help') helpOpen.value = !helpOpen.value;
    if (found.act === 'theme') nextTheme();
    if (found.act === 'search') document.querySelector<HTMLElement>('#search')?.focus();
  });
}

function isField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return target.type !== 'checkbox' && target.type !== 'radio';
  return target.isContentEditable || ['SELECT', 'TEXTAREA'].includes(target.tagName);
}

/** The list of keys, over the page. */
export function KeysDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const isOpen = helpOpen.value;
  useEffect(() => {
    if (isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isOpen]);
  const close = () => {
    helpOpen.value = false;
  };
  return html`<dialog ref=${dialog} class="keys" aria-labelledby="keys-title" onClose=${close}>
    <header>
      <h2 id="keys-title">Keys</h2>
      <button type="button" class="quiet" onClick=${close}>Close</button>
    </header>
    <dl>
      ${KEY_HELP.map(
        ([keys, what]) =>
          html`<div key=${what}><dt>${keys.map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${what}</dd></div>`,
      )}
    </dl>
  </dialog>`;
}

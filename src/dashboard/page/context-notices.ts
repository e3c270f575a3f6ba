import type { ContextRow } from '../snapshot.ts';
import { several } from './format.ts';
import { type Content, html } from './markup.ts';
import { chosen } from './navigation.ts';
import { connection, contexts, meta, stateOf } from './page-store.ts';
import { Ago, Advice, Foreign } from './small-parts.ts';
import { Mark } from './status-mark.ts';
import { installationTone } from './tones.ts';

/**
 * What is wrong with what is shown, above every page: a line for each cluster that is not known as it should
 * be.
 */
export function ContextNotices() {
  const only = chosen('cluster');
  const shown = contexts.value.filter(({ context }) => only === '' || only === context);
  return html`<div class="notices">${programNotice()}${shown.map(contextNotice)}</div>`;
}

function programNotice() {
  const { value } = connection;
  if (value === 'refused' && meta.value !== undefined)
    return html`<section class="notice bad" aria-label="This page">
      <${Mark} tone="stale" />
      <div>
        <p><strong>This page is of an earlier start of <code>linkspan dashboard</code>.</strong> Open the address that it has printed.</p>
      </div>
    </section>`;
  if (value !== 'lost' && value !== 'refused') return '';
  return html`<section class="notice warn" aria-label="This page">
    <${Mark} tone="stale" />
    <div>
      <p><strong><code>linkspan dashboard</code> does not answer.</strong> What is shown is what it said last; the page goes on when it answers.</p>
    </div>
  </section>`;
}

function contextNotice(row: ContextRow) {
  const state = stateOf(row);
  const text = words(row, state);
  if (text === undefined) return '';
  const { tone, word } = installationTone(state, row.controller);
  const isAnswering = state === 'ok' || state === 'partial';
  return html`<section class=${`notice ${tone}`} key=${row.context} aria-label=${`Cluster ${row.cluster}`}>
    <${Mark} tone=${tone} />
    <div>
      <p>
        <strong><bdi>${row.cluster}</bdi> ${word}.</strong> ${text}
        ${row.at === null || isAnswering ? '' : html` <span class="muted nowrap">· as of <${Ago} at=${row.at} /></span>`}
      </p>
      ${more(row, state)}
    </div>
  </section>`;
}

function words(row: ContextRow, state: ContextRow['state']) {
  if (state === 'unreachable' || state === 'stale')
    return html`<${Foreign} text=${row.error?.message ?? 'Nothing was heard of it.'} />`;
  if (state === 'forbidden') return forbiddenWords(row);
  if (state === 'absent')
    return html`There is neither a controller nor a gateway nor an egress in namespace <code>${row.namespace}</code>.`;
  if (state === 'partial') return partialWords(row);
  if (state !== 'ok' || (row.controller !== 'absent' && row.controller !== 'silent')) return undefined;
  return row.controller === 'absent'
    ? 'Mirrors stay as they are, and nobody probes gateways or writes conditions.'
    : 'Its pods do not answer: what mirrors come to is not known.';
}

function forbiddenWords({ role, error }: ContextRow) {
  if (role === null) return html`<${Foreign} text=${error?.message ?? ''} />`;
  return html`Your account lacks the rights of ClusterRole <code>${role}</code>.`;
}

function partialWords({ asked, answered, controller, unread }: ContextRow) {
  const missing = asked - answered;
  const pods =
    missing > 0 ? `${several(missing, 'pod')} of ${asked} did not answer: numbers are too low.` : '';
  const none = controller === 'absent' ? ' It has no controller: mirrors stay as they are.' : '';
  const rest = missing <= 0 && unread.length > 0 ? 'Something could not be read.' : '';
  return `${pods}${rest}${none}`;
}

/** What to do, or who did not answer: for who wants to know. */
function more(row: ContextRow, state: ContextRow['state']) {
  const { unread, error, role, namespace } = row;
  const lines = html`<ul>${unread.map((line) => html`<li key=${line}><${Foreign} text=${line} /></li>`)}</ul>`;
  if (state === 'partial')
    return unread.length === 0 ? '' : folded(row.asked > row.answered ? 'Which' : 'What', lines);
  if (state === 'ok') return '';
  const advice = error?.advice ?? '';
  const bind = `kubectl -n ${namespace} create rolebinding ${role} --clusterrole=${role} --user=NAME`;
  const given =
    state === 'forbidden' && role !== null ? html`<p>Who may gives them with <code>${bind}</code></p>` : '';
  return advice === '' && given === ''
    ? ''
    : folded('What to do', html`<${Advice} text=${advice} />${given}`, state === 'forbidden');
}

/** @param isOpen whether it is read at once: where nothing else can be seen */
function folded(title: string, content: Content, isOpen = false) {
  return html`<details open=${isOpen}><summary>${title}</summary><div class="folded">${content}</div></details>`;
}

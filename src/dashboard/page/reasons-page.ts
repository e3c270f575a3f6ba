import type { ReasonsAnswer } from '../answers.ts';
import { ErrorNotice, useAnswer } from './asked-answer.ts';
import { type DataColumn, DataTable } from './data-table.ts';
import { several } from './format.ts';
import { html } from './markup.ts';
import { choose, chosen } from './navigation.ts';
import { FilterBox } from './page-shell.ts';
import { PageHead, Skeleton } from './page-states.ts';
import { hasText } from './search-match.ts';
import { Advice, Panel, Prose } from './small-parts.ts';

interface Word {
  readonly word: string;
  readonly of: string;
  readonly meaning: string;
  readonly fix: string;
}

const COLUMNS: readonly DataColumn<Word>[] = [
  {
    key: 'word',
    head: 'Word',
    name: true,
    sort: ({ word }) => word.toLowerCase(),
    cell: ({ word }) => html`<code>${word}</code>`,
  },
  { key: 'of', head: 'Said of', sort: ({ of }) => of, cell: ({ of }) => of },
  {
    key: 'meaning',
    head: 'Meaning',
    cell: ({ meaning }) => html`<span class="prose"><${Prose} text=${meaning} /></span>`,
  },
  {
    key: 'fix',
    head: 'What to do',
    cell: ({ fix }) => html`<span class="prose"><${Prose} text=${fix} /></span>`,
  },
];

/** Every word that Linkspan gives as a reason, and every error code. */
export function ReasonsPage() {
  const { value, error } = useAnswer<ReasonsAnswer>('/api/reasons.json');
  const all = value === undefined ? [] : wordsOf(value);
  const asked = chosen('word');
  const found = all.filter(({ word }) => word === asked);
  const rows = all.filter(({ word, meaning, fix }) => hasText(chosen('q'), word, meaning, fix));
  return html`<${PageHead} title="Reasons" note=${value === undefined ? undefined : `${several(all.length, 'word')} and what to do about each`} />
    ${error === undefined ? '' : html`<${ErrorNotice} error=${error} label="The words could not be read" />`}
    ${asked === '' || value === undefined ? '' : one(asked, found)}
    ${
      value === undefined
        ? error === undefined && html`<${Skeleton} />`
        : html`<${FilterBox} label="Filter by word or meaning" failing=${false} />
            <div class="reading">
              <${DataTable}
                caption="Reasons, failures and error codes"
                quietCaption=${true}
                rows=${rows.map((row) => [`${row.of} ${row.word}`, row])}
                columns=${COLUMNS}
                all=${true}
                empty=${html`<p>No word is so. Take the filter away to see all.</p>`}
              />
            </div>`
    }`;
}

/** The word that a link has led to. */
function one(asked: string, found: readonly Word[]) {
  const [first] = found;
  return html`<${Panel}
    title=${asked}
    note=${html`<button type="button" class="quiet" onClick=${() => choose('word', '', true)}>Close</button>`}
  >
    ${found.map(({ of, meaning }) => html`<p key=${of}><span class="muted">${of}: </span><${Prose} text=${meaning} /></p>`)}
    ${first === undefined ? html`<p>It is none of the words of this version.</p>` : html`<${Advice} text=${first.fix} />`}
  </${Panel}>`;
}

function wordsOf({ reasons, codes, failures }: ReasonsAnswer): Word[] {
  return [
    ...reasons.flatMap(({ reason, meanings, fix }) =>
      meanings.map(({ of, meaning }) => ({ word: reason, of, meaning, fix })),
    ),
    ...failures.map(({ kind, fix }) => ({ word: kind, of: 'a request that failed', meaning: '', fix })),
    ...codes.map(({ code, meaning, fix }) => ({ word: code, of: 'an error of the CLI', meaning, fix })),
  ];
}

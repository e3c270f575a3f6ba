import { signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import type { ErrorAnswer } from '../answers.ts';
import type { ErrorWords } from '../snapshot.ts';
import { html } from './markup.ts';
import { Advice, Foreign } from './small-parts.ts';
import { Mark } from './status-mark.ts';

/** What became of a question to the program. */
export interface Asked<T> {
  readonly state: 'asking' | 'failed' | 'known';
  /** The last answer stays while the next one is asked for. */
  readonly value?: T | undefined;
  readonly error?: ErrorWords | undefined;
}

/** Asks the program. @throws ErrorWords */
export async function ask<T>(path: string, ended: AbortSignal): Promise<T> {
  const response = await fetch(path, { signal: ended, headers: { accept: 'application/json' } });
  const body: unknown = await response.json();
  if (response.ok) return body as T;
  throw (body as ErrorAnswer).error;
}

/**
 * An answer for a part of the page, as long as it is shown.
 * @param path empty: nothing is asked
 * @param everyMs after which time again; absent: once
 */
export function useAnswer<T>(path: string, everyMs?: number): Asked<T> {
  const asked = useMemo(() => signal<Asked<T>>({ state: 'asking' }), []);
  useEffect(() => {
    if (path === '') return undefined;
    const ended = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const once = async () => {
      try {
        asked.value = { state: 'known', value: await ask<T>(path, ended.signal) };
      } catch (error) {
        if (ended.signal.aborted) return;
        asked.value = { ...asked.value, state: 'failed', error: wordsOf(error) };
      }
      if (everyMs !== undefined && !ended.signal.aborted) timer = setTimeout(() => void once(), everyMs);
    };
    asked.value = { ...asked.value, state: 'asking' };
    void once();
    return () => {
      ended.abort();
      clearTimeout(timer);
    };
  }, [path]);
  return asked.value;
}

function wordsOf(error: unknown): ErrorWords {
  if (
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    'message' in error &&
    'advice' in error
  )
    return error as ErrorWords;
  return { code: '', message: 'linkspan dashboard did not answer.', advice: '' };
}

/** What went wrong, with what to do. */
export function ErrorNotice({ error, label }: { readonly error: ErrorWords; readonly label: string }) {
  const { code, message, advice } = error;
  return html`<section class="notice bad" aria-label=${label}>
    <${Mark} tone="bad" />
    <div>
      <p><strong>${label}.</strong> <${Foreign} text=${message} /> ${code === '' ? '' : html`<code class="muted">${code}</code>`}</p>
      <${Advice} text=${advice} />
    </div>
  </section>`;
}

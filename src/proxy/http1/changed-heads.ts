import { stays } from '../http/fields.ts';
import type { HeadRules } from '../http/forwarding.ts';
import type { LeaseChanges } from '../http/messages.ts';
import type { RequestHead, ResponseHead } from './head.ts';
import { renderRequest, type Sent, splitTarget } from './render.ts';

/** Nothing that a route has set is of one hop, whatever the sender says in its Connection field. */
const NO_OPTIONS: ReadonlySet<string> = new Set();

/** As `renderRequest`, of a request that its route changes. */
export function renderChangedRequest(head: RequestHead, rules: HeadRules, changes: LeaseChanges): string {
  const { path, authority } = splitTarget(head.target, head.method);
  const kept = head.fields.filter((field) => stays(field, head.section.options));
  const changed: Sent<RequestHead> = {
    ...head,
    target: changes.path(path),
    fields: changes.requestFields(kept),
    section: { options: NO_OPTIONS, rendered: undefined },
  };
  const { added, client } = rules;
  return renderRequest(changed, { host: changes.host ?? rules.host ?? authority, added, client });
}

/** The head of a response as its route changes it. */
export function changedResponse(head: ResponseHead, changes: LeaseChanges | undefined): Sent<ResponseHead> {
  if (changes === undefined) return head;
  const kept = head.fields.filter((field) => stays(field, head.section.options));
  return {
    ...head,
    fields: changes.responseFields(kept),
    section: { options: NO_OPTIONS, rendered: undefined },
  };
}

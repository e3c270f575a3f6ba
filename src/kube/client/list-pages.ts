import type { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { isOverLimit, MAX_PAGES, tooLarge } from './answer-limits.ts';
import type { ListOptions, ListResult } from './client-options.ts';
import type { KubeObject, Resource } from '../../api/kubernetes/resource.ts';

export interface PagesOptions<T> extends Omit<ListOptions<T>, 'limit' | 'continueToken'> {
  /** Objects per page; default 500. */
  readonly pageSize?: number;
  /** Pages after which a list counts as endless; default `MAX_PAGES`. */
  readonly maxPages?: number;
}

const PAGE_SIZE = 500;
/** Never fewer objects a page: the largest that etcd holds (1.5 MiB) fit into one answer in this number. */
const MIN_PAGE_SIZE = 8;

/** The source of the pages: a `KubeClient`. */
export interface PagedLister {
  /** For messages. */
  readonly server: string;
  list<T extends KubeObject>(resource: Resource<T>, options: ListOptions<T>): Promise<ListResult<T>>;
}

/**
 * The pages of a list, one after the other. A page that is over the limit of one answer, or does not arrive
 * in time, is asked for with a quarter of the objects, so that large objects or a slow line are no fault; the
 * last page that fits sets the size of those after it.
 * @throws LinkspanError KUBE_ANSWER_TOO_LARGE, KUBE_ANSWER_TOO_SLOW when the smallest page does not fit or
 * there is no end of pages
 */
export async function* listPages<T extends KubeObject>(
  client: PagedLister,
  resource: Resource<T>,
  options: PagesOptions<T>,
): AsyncGenerator<ListResult<T>> {
  const { pageSize = PAGE_SIZE, maxPages = MAX_PAGES, ...selection } = options;
  let limit = pageSize;
  let continueToken: string | undefined;
  for (let pages = 1; ; pages++) {
    if (pages > maxPages)
      throw tooLarge(
        `list ${resource.plural} at ${client.server}`,
        'pages',
        `no end after ${maxPages} pages`,
        { used: pages, of: maxPages },
      );
    let page: ListResult<T> | undefined;
    while (page === undefined) {
      try {
        page = await client.list(resource, {
          ...selection,
          limit,
          ...(continueToken === undefined ? {} : { continueToken }),
        });
      } catch (error) {
        if (limit <= MIN_PAGE_SIZE || !smallerMayFit(error)) throw error;
        limit = Math.max(MIN_PAGE_SIZE, Math.floor(limit / 4));
      }
    }
    yield page;
    ({ continueToken } = page);
    if (continueToken === undefined) return;
  }
}

function smallerMayFit(error: unknown): boolean {
  return isOverLimit(error) && (error as LinkspanError).fields['limit'] === 'answer';
}

import type { Clock } from '../../base/clock.ts';
import type { Routing } from '../../policy/routing/routing.ts';
import { ProxyFailure } from '../http/failures.ts';
import { MatchingAllowance } from '../upstream/retry/matching-allowance.ts';
import { type RoutedRequest, type RoutedTo, RoutingTable } from './routing-table.ts';

/** Finds the rules of the requests for one Service. */
export class RouteFinder {
  readonly #label: string;
  readonly #allowance: MatchingAllowance;
  #table = new RoutingTable({ entries: [] });
  /** A request that was looked at and is asked about again, and its rule. */
  #last: { readonly request: RoutedRequest; readonly to: RoutedTo | ProxyFailure } | undefined;

  /** @param label of the Service, for messages */
  constructor(label: string, clock: Clock) {
    this.#label = label;
    this.#allowance = new MatchingAllowance(clock);
  }

  /** Takes in the rules as they are now. @throws RegexError, as `RoutingTable` does */
  update(routing: Pick<Routing, 'entries'>): void {
    this.#table = new RoutingTable(routing);
    this.#last = undefined;
  }

  /**
   * The rule of a request; undefined where it has none. `find` for the same request then has the answer at
   * hand.
   */
  peek(request: RoutedRequest): RoutedTo | undefined {
    const to = this.#found(request);
    this.#last = { request, to };
    return to instanceof ProxyFailure ? undefined : to;
  }

  /** The rule of a request. @throws ProxyFailure where no rule is for it, or it costs too much to find one */
  find(request: RoutedRequest): RoutedTo {
    const last = this.#last;
    this.#last = undefined;
    const to = last?.request === request ? last.to : this.#found(request);
    if (to instanceof ProxyFailure) throw to;
    return to;
  }

  #found(request: RoutedRequest): RoutedTo | ProxyFailure {
    const table = this.#table;
    if (!table.hasExpressions) return table.find(request) ?? noRoute(this.#label);
    const effort = this.#allowance.begin();
    const to = effort === undefined ? undefined : table.find(request, effort);
    if (effort !== undefined) this.#allowance.end(effort);
    if (effort === undefined || effort.left < 0)
      return new ProxyFailure(
        'load shed',
        `the regular expressions of the routes of ${this.#label} cost too much`,
      );
    return to ?? noRoute(this.#label);
  }
}

function noRoute(label: string): ProxyFailure {
  return new ProxyFailure('no route', `no rule of the routes of ${label} is for this request`);
}

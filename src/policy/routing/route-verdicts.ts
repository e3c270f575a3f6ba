import type { ParentRef } from '../../api/routing/route-spec.ts';
import type { ReadRoute } from './read-route.ts';
import type { ParentVerdict } from './route-status.ts';
import type { RouteVerdict } from './service-routing.ts';

/**
 * What is said of a route and a Service that is among its parents, from the verdicts of the Service's ports:
 * an entry for each reference. A reference to all ports is accepted if it is for one of them.
 * @param verdicts of all ports of the Service
 */
export function serviceVerdicts(
  route: ReadRoute,
  service: { readonly namespace: string; readonly name: string },
  verdicts: readonly RouteVerdict[],
): readonly ParentVerdict[] {
  return route.parents
    .filter(({ namespace, name }) => namespace === service.namespace && name === service.name)
    .map((parent) => {
      const own = verdicts.filter((one) => one.route === route && one.parent === parent);
      return own.length === 0 ? noParent(parent) : merged(parent, own);
    });
}

function noParent(parent: ParentRef): ParentVerdict {
  const which = parent.sectionName ?? parent.port ?? '';
  return {
    parent,
    accepted: {
      reason: 'NoMatchingParent',
      message: `the Service ${parent.namespace}/${parent.name} has no port ${which}`,
    },
    resolved: { reason: 'ResolvedRefs', message: '' },
  };
}

function merged(parent: ParentRef, verdicts: readonly RouteVerdict[]): ParentVerdict {
  const accepted = verdicts.find((one) => one.accepted.reason === 'Accepted') ?? verdicts[0];
  const unresolved = verdicts.find(({ resolved: { reason } }) => reason !== 'ResolvedRefs');
  return {
    parent,
    accepted: accepted?.accepted ?? { reason: 'Accepted', message: '' },
    resolved: unresolved?.resolved ?? { reason: 'ResolvedRefs', message: '' },
  };
}

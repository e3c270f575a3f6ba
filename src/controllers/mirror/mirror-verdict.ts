import type { V1Service } from '@kubernetes/client-node';
import { endpointsReason, standing, type EndpointsFrom } from '../policies/endpoints-reason.ts';
import { importNotes } from '../policies/kept-out.ts';
import { type Decided, firstFinding, keep } from '../policies/check-chain.ts';
import { desiredParts, type DesiredPart } from './desired-mirror.ts';
import type { MirrorFacts } from '../reconcile/mirror-facts.ts';
import { formOf } from './headless.ts';
import { mirrorChain, mirrorSubject } from './mirror-policies.ts';
import type { ServiceWithSlices } from '../objects/address-families.ts';
import { portsLeftOut } from '../objects/mirrored-ports.ts';

/** What should be done about one mirror, and why. `mirror`: it should be exactly `parts`. */
export type Verdict = Decided<{ readonly action: 'mirror'; readonly parts: readonly DesiredPart[] }>;

const chain = mirrorChain();

/** Decides about one mirror. Pure: no I/O, no clock. */
export function decide(facts: MirrorFacts): Verdict {
  return firstFinding(chain, facts, mirrorSubject(facts)) ?? mirror(facts);
}

function mirror(facts: MirrorFacts): Verdict {
  const { remote, link, flat, local, hosts, gateway } = facts;
  if (remote === undefined) return keep('NotExported');
  const path = endpointsReason(facts, endpointsFrom(facts));
  const parts = desiredParts(facts, remote, path);
  const here = [local, ...hosts.map((host) => host.local)].map(({ service }) => service);
  const written = {
    path,
    gateway,
    parts: () => withLocal(here, parts),
    here,
    portsLeftOut: portsLeftOut(remote),
    notes: importNotes(facts, remote, { rules: link.rules, pods: flat && link.flatEndpoints }),
  };
  return { action: 'mirror', ...standing(written), parts };
}

function endpointsFrom({ flat, link }: MirrorFacts): EndpointsFrom {
  if (flat) return link.flatEndpoints ? 'pods' : 'nobody';
  return link.dataPath === 'relay' ? 'egress' : 'gateway';
}

/** For each part the existing Service of its name, with the slices that it should have. */
function withLocal(
  here: readonly (V1Service | undefined)[],
  parts: readonly DesiredPart[],
): ServiceWithSlices[] {
  const byName = new Map(here.map((service) => [service?.metadata?.name, service]));
  return parts.map(({ service, slices }) => ({ service: byName.get(service.metadata?.name), slices }));
}

/** How a Service is mirrored, in words for people. */
export function modeOf(facts: MirrorFacts): string {
  const { flat, link } = facts;
  if (flat) return link.flatEndpoints ? 'flat-endpoints' : 'flat';
  return formOf(facts) === 'headless' ? `${link.dataPath}, headless` : link.dataPath;
}

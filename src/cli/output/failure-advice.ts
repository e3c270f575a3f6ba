import { ALLOWED_CLIENTS, FAULTS, RATE_LIMIT } from '../../api/names.ts';
import type { FailureKind } from '../../proxy/http/failures.ts';
import { type AnyReason, reasonAdvice } from './reason-advice.ts';

/** What to do where requests fail in one way, by what the proxy calls it (docs/reference/gateway.md). */
export const failureAdvice: Readonly<Record<FailureKind, string>> = {
  'bad request': 'Look at what the client sends: it is no HTTP that a proxy may pass on.',
  unauthorized: `If the client is meant to be let in, see \`${ALLOWED_CLIENTS}\` of the Service and the policies of its cluster.`,
  'rate limited': `Nothing, if it is meant; else raise \`${RATE_LIMIT}\` of the Service.`,
  'unknown service': 'See whether the Service is still exported (`linkspan mirrors`).',
  'bad target response': 'Look at the endpoints of the Service: what they answer is not HTTP.',
  'connection failed':
    'See whether endpoints, or the gateway, can be reached: `linkspan gateways -o wide`, `linkspan check`.',
  'protocol not served': 'Give the port an `appProtocol` of what it speaks.',
  'load shed': 'Give the gateway more replicas, or the Service more endpoints: more comes than they take.',
  failfast: 'Look at the pods of the Service in its cluster: none is ready (`linkspan explain svc NAME`).',
  'connect timeout':
    'See what drops packets on the way to the endpoints or the gateway: routes, firewalls, NetworkPolicies.',
  'request timeout': 'See why it takes so long, or raise the timeout of the Service.',
  'response timeout': 'See why it takes so long, or raise the timeout of the Service.',
  'idle timeout': 'See why nothing comes for so long, or raise the idle timeout of the Service.',
  'no route': 'See whether a route of the Service is for these requests; none is.',
  'invalid route': 'Correct the backend of the route: it is not there, or may not be referred to.',
  'backend unavailable': 'Look at the backends of the route: one that has a share cannot be used.',
  'gateway loop': 'See where the Service leads: a request comes back to a gateway that it has passed.',
  'internal error': 'Report it with the line of the log: it is a mistake in Linkspan.',
  'injected fault': `Nothing: a drill, or \`${FAULTS}\`, asks for it.`,
};

/** What to do about a reason constant or a kind of failure; empty for what is not known here. */
export function adviceFor(reason: string): string {
  if (Object.hasOwn(failureAdvice, reason)) return failureAdvice[reason as FailureKind];
  return Object.hasOwn(reasonAdvice, reason) ? reasonAdvice[reason as AnyReason] : '';
}

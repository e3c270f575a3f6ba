import { POLICY_GROUP, PROFILE_GROUP } from '../linkerd/linkerd-kinds.ts';
import { GATEWAY_API_GROUP, SPLIT_GROUP } from './routing-kinds.ts';

/** A kind of objects whose backends have weights that failover can write. */
export interface WeightedSource {
  readonly group: string;
  readonly plural: string;
  readonly kind: 'TrafficSplit' | 'HTTPRoute' | 'GRPCRoute' | 'ServiceProfile';
}

/** All of them, each in every group that serves it. */
export const WEIGHTED_KINDS: readonly WeightedSource[] = [
  { group: SPLIT_GROUP, plural: 'trafficsplits', kind: 'TrafficSplit' },
  { group: GATEWAY_API_GROUP, plural: 'httproutes', kind: 'HTTPRoute' },
  { group: GATEWAY_API_GROUP, plural: 'grpcroutes', kind: 'GRPCRoute' },
  { group: POLICY_GROUP, plural: 'httproutes', kind: 'HTTPRoute' },
  { group: POLICY_GROUP, plural: 'grpcroutes', kind: 'GRPCRoute' },
  { group: PROFILE_GROUP, plural: 'serviceprofiles', kind: 'ServiceProfile' },
];

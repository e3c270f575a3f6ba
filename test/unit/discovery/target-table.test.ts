import { expect } from 'chai';
import { sameTarget, TargetTable } from '../../../src/discovery/target-table.ts';
import type { TargetSpec } from '../../../src/discovery/target-spec.ts';
import { type EffectivePolicy, POLICY_PARTS, type PolicyPart } from '../../../src/policy/effective-policy.ts';
import type { RequestFilters } from '../../../src/gateway/request-filters.ts';
import type { TargetRules } from '../../../src/proxy/upstream/target-options.ts';

const target: TargetSpec = {
  name: 'web.demo.svc.cluster.local',
  port: 80,
  endpoints: [{ host: '10.0.0.1', port: 8080, ready: true }],
};

describe('the table of targets', () => {
  // Its own list of the policy's parts: a change of a new part alone would have reached no target.
  it('takes a change of any part of the policy for a change, and tells of it', () => {
    for (const part of POLICY_PARTS) {
      const changed: TargetSpec = { ...target, [part]: { said: part } };
      expect(sameTarget(target, changed), part).to.equal(false);
      expect(sameTarget(changed, structuredClone(changed)), part).to.equal(true);

      const table = new TargetTable();
      const keys = table.replace([], [target]);
      const told: string[] = [];
      table.subscribe((key) => void told.push(key));
      table.replace(keys, [changed]);
      expect(told, part).to.deep.equal(keys);
    }
  });

  it('takes a change of any other field for a change', () => {
    const [endpoint] = target.endpoints;
    const changes: { readonly [F in keyof Omit<TargetSpec, PolicyPart>]-?: TargetSpec[F] } = {
      name: 'api.demo.svc.cluster.local',
      port: 81,
      endpoints: endpoint === undefined ? [] : [{ ...endpoint, zone: 'a' }],
      protocol: 'http2',
      allow: [],
      routed: { routing: { rules: [], entries: [] }, leaves: {} },
    };
    for (const [field, value] of Object.entries(changes))
      expect(sameTarget(target, { ...target, [field]: value }), field).to.equal(false);
    expect(sameTarget(undefined, target)).to.equal(false);
    expect(sameTarget({ ...target, allow: ['a'] }, { ...target, allow: ['a'] })).to.equal(true);
  });

  // The compiler's part: a subject that neither the target nor its filters take would be followed by nobody.
  it('holds what somebody follows: every part is taken by the target or by its filters', () => {
    type Followed = TargetRules & Parameters<RequestFilters['set']>[1];
    const followed: { readonly [P in PolicyPart]: P extends keyof Followed ? P : never } = {
      accrual: 'accrual',
      limits: 'limits',
      faults: 'faults',
      requests: 'requests',
    } satisfies { readonly [P in keyof EffectivePolicy]-?: P };
    expect(Object.keys(followed).sort()).to.deep.equal([...POLICY_PARTS].sort());
  });
});

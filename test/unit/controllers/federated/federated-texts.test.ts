import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { LOCAL_MEMBER } from '../../../../src/api/mirror/federated-members.ts';
import { textsOf } from '../../../../src/controllers/federated/federated-texts.ts';
import { planMember } from '../../../../src/controllers/federated/federated-plan.ts';
import { decideMember } from '../../../../src/controllers/federated/federated-verdict.ts';
import { memberFacts } from '../../../support/member-facts.ts';
import { exportedService, nothing } from '../../../support/mirror-facts.ts';

const TIERS = 'failover.linkspan.dev/tiers';
const EFFECTIVE = 'failover.linkspan.dev/effective-tiers';

// Nothing read what people write about failover on a federated Service.
describe('tiers and policy of a federated Service', () => {
  const service = (annotations: Record<string, string>): V1Service => ({
    metadata: {
      name: 'web-federated',
      namespace: 'demo',
      labels: { 'mirror.linkerd.io/mirrored-service': 'true' },
      annotations: { 'multicluster.linkerd.io/remote-discovery': 'web@west', ...annotations },
    },
  });
  const withTiers = (tiers: string | undefined) =>
    exportedService({
      metadata: { name: 'web', annotations: tiers === undefined ? {} : { [TIERS]: tiers } },
    });
  const facts = (own: Record<string, string>, tiers: string | undefined, member = LOCAL_MEMBER) =>
    memberFacts({
      member,
      federated: { ...nothing, service: service(own) },
      remote: withTiers(tiers),
      leads: true,
    });

  it("are those of this cluster's own member where it says nothing itself", () => {
    expect(textsOf(facts({}, 'local; *'))).to.include({ tiers: 'local; *' });
    expect(textsOf(facts({ [TIERS]: 'west; *' }, 'local; *'))).to.include({ tiers: 'west; *' });
  });

  it('are never those of another cluster', () => {
    const one = facts({}, 'west', 'west');
    expect(textsOf(one).tiers).to.equal(undefined);
    expect(JSON.stringify(planMember(one, decideMember(one)))).not.to.contain('failover.linkspan.dev');
  });

  const patched = (own: Record<string, string>, change: Parameters<typeof memberFacts>[0] = {}) => {
    const one = { ...facts(own, undefined, 'west'), ...change };
    const steps = planMember(one, decideMember(one));
    const step = steps.find(({ verb, kind }) => verb === 'patch' && kind === 'services');
    const patch = step?.verb === 'patch' ? step.patch : {};
    return (
      (patch as { metadata?: { annotations?: Record<string, string | null> } }).metadata?.annotations ?? {}
    );
  };

  it('are settled by the leading member: what is wrong leaves what held, what is gone goes', () => {
    expect(patched({ [TIERS]: 'west; *' })).to.include({ [EFFECTIVE]: 'west; *' });
    expect(patched({ [TIERS]: 'west; ?', [EFFECTIVE]: 'west; *' })).not.to.have.any.keys(EFFECTIVE, TIERS);
    expect(patched({ [EFFECTIVE]: 'west; *' })).to.include({ [EFFECTIVE]: null });
  });

  it('are left alone by a member that does not lead', () => {
    for (const own of [{ [TIERS]: 'west; *' }, { [EFFECTIVE]: 'west; *' }])
      expect(patched(own, { leads: false })).not.to.have.any.keys(EFFECTIVE, TIERS);
  });
});

import { expect } from 'chai';
import { adoptedFields, isWithInstallers } from '../../../src/manifests/managed-fields.ts';

const entry = (manager: string, operation: 'Apply' | 'Update', fieldsV1: object, more: object = {}) => ({
  manager,
  operation,
  apiVersion: 'apps/v1',
  fieldsType: 'FieldsV1',
  fieldsV1,
  ...more,
});

describe('owners of fields', () => {
  it('are joined in one, so that what the new manifest leaves out goes', () => {
    const old = entry('kubectl-client-side-apply', 'Update', {
      'f:spec': { 'f:containers': { 'k:{"name":"pause"}': { '.': {} } }, 'f:replicas': {} },
    });
    const own = entry('linkspan', 'Apply', { 'f:spec': { 'f:containers': { 'k:{"name":"gateway"}': {} } } });
    const status = entry('kube-controller-manager', 'Update', { 'f:status': {} }, { subresource: 'status' });
    const adopted = adoptedFields([old, status, own], 'linkspan');
    expect(adopted).to.deep.equal([
      entry('linkspan', 'Apply', {
        'f:spec': {
          'f:containers': { 'k:{"name":"gateway"}': {}, 'k:{"name":"pause"}': { '.': {} } },
          'f:replicas': {},
        },
      }),
      status,
    ]);
    expect(adoptedFields(adopted ?? [], 'linkspan'), 'once').to.equal(undefined);
  });

  it("stay who they are when they are no installers: autoscalers, people's single changes, status", () => {
    const others = [
      entry('kubectl-edit', 'Update', {}),
      entry('kubectl', 'Update', {}, { subresource: 'scale' }),
      entry('helm', 'Update', {}, { subresource: 'status' }),
      entry('linkspan.dev', 'Apply', {}),
    ];
    expect(adoptedFields(others, 'linkspan')).to.equal(undefined);
    expect(adoptedFields([entry('helm', 'Update', {})], 'linkspan')?.[0]).to.include({
      manager: 'linkspan',
      operation: 'Apply',
    });
  });

  it('are told apart by the words of a conflict', () => {
    expect(isWithInstallers(['conflict with "helm" using apps/v1'])).to.equal(true);
    expect(isWithInstallers(['conflict with "linkspan.dev" using v1'])).to.equal(true);
    expect(isWithInstallers(['conflict with "kubectl" with subresource "scale" using apps/v1'])).to.equal(
      false,
    );
    expect(isWithInstallers(['conflict with "helm" using v1', 'conflict with "hpa" using v1'])).to.equal(
      false,
    );
    expect(isWithInstallers([])).to.equal(false);
  });
});

import { expect } from 'chai';
import { addressesInHosts } from '../../../src/dns/hosts-file.ts';
import { searchCandidates, parseSearchRules } from '../../../src/dns/resolv-conf.ts';

/** As kubelet writes it for a pod. */
const POD = `search linkspan.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
`;

describe('names that are not absolute', () => {
  it('are searched for in a pod as glibc does: with fewer than five dots, in the search domains first', () => {
    const rules = parseSearchRules(POD);
    expect(searchCandidates('gw.example.test', rules)).to.deep.equal([
      'gw.example.test.linkspan.svc.cluster.local',
      'gw.example.test.svc.cluster.local',
      'gw.example.test.cluster.local',
      'gw.example.test',
    ]);
    expect(searchCandidates('gw.example.test.', rules)).to.deep.equal(['gw.example.test.']);
    expect(searchCandidates('a.b.c.d.e.example', rules)[0]).to.equal('a.b.c.d.e.example');
  });

  it('are searched for elsewhere after the name itself, if it has a dot', () => {
    const rules = parseSearchRules('domain old.example\nsearch lan. office.example\noptions rotate');
    expect(searchCandidates('gw.example', rules).slice(0, 2)).to.deep.equal(['gw.example', 'gw.example.lan']);
    expect(searchCandidates('gw', rules)[0]).to.equal('gw.lan');
  });

  it('are taken as they are where the file says nothing, or nonsense', () => {
    for (const text of ['', 'search\n', 'options ndots:x\n', 'nameserver 10.0.0.1'])
      expect(searchCandidates('gw.example', parseSearchRules(text)), text).to.deep.equal(['gw.example']);
    expect(parseSearchRules('options ndots:400').ndots).to.equal(15);
    expect(parseSearchRules(`search ${'a '.repeat(1000)}`).search).to.have.length(32);
  });
});

describe('a hosts file', () => {
  const text = '127.0.0.1 localhost\n# 10.0.0.1 gw\n10.0.0.2\tGw gw.example # old\nfd00::2 gw\n127.1 gw\n';

  it('gives a name the addresses of all its lines, and of no comment', () => {
    expect(addressesInHosts(text, 'gw')).to.deep.equal(['10.0.0.2', 'fd00::2']);
    expect(addressesInHosts(text, 'GW.example.')).to.deep.equal(['10.0.0.2']);
    expect(addressesInHosts(text, 'old')).to.deep.equal([]);
  });
});

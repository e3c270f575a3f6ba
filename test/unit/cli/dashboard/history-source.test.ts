import { expect } from 'chai';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import type { OpenSource } from '../../../../src/cli/dashboard/cluster-source.ts';
import { historyOf } from '../../../../src/cli/dashboard/history-source.ts';

describe('--prometheus of the dashboard', () => {
  const asked: string[] = [];
  const sourceOf = (context: string) =>
    ({
      context,
      client: {
        raw: async (_: 'GET', path: string) => {
          asked.push(`${context} ${path.split('?')[0] ?? ''}`);
          return { status: 'success', data: { resultType: 'vector', result: [] } };
        },
      },
    }) as unknown as OpenSource;
  const ARN = 'arn:aws:eks:eu-central-1:123456789012:cluster/west';
  const sources = [sourceOf('east'), sourceOf(ARN)];

  for (const [where, path] of [
    [
      'monitoring/prometheus',
      'east /api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query',
    ],
    [
      'monitoring/prometheus:web',
      'east /api/v1/namespaces/monitoring/services/prometheus:web/proxy/api/v1/query',
    ],
    [`${ARN}/mon/prom:80`, `${ARN} /api/v1/namespaces/mon/services/prom:80/proxy/api/v1/query`],
  ] as const)
    it(`${where} is asked through the API server`, async () => {
      asked.splice(0);
      const history = historyOf({ prometheus: where }, sources);
      const query = new URLSearchParams('kind=cluster&range=1d');
      await history?.answers.table(query, new AbortController().signal);
      expect(new Set(asked)).to.deep.equal(new Set([path]));
      await history?.close();
    });

  for (const where of [
    'prometheus',
    'a/b/',
    '/x',
    'ftp://x/y',
    'a/b:90 90',
    'monitoring/../secrets',
    'http://',
  ])
    it(`${where} is refused`, () => {
      let code: string | undefined;
      try {
        historyOf({ prometheus: where }, sources);
      } catch (error) {
        code = codeOf(error);
      }
      expect(code).to.be.oneOf(['CONFIG_INVALID', 'KUBECONFIG_UNREADABLE', 'KUBECONFIG_INVALID']);
    });
});

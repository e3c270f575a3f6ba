import { expect } from 'chai';
import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { codeOf } from '../../../src/api/errors/linkspan-error.ts';
import { type Helm, helmError, helmProgram, withNearestKeys } from '../../../src/install/helm.ts';
import { renderAll } from '../../../src/install/render-chart.ts';
import { gatherValues, type HelmValueFlags } from '../../../src/install/values.ts';
import { useTempDir } from '../../support/temp-dir.ts';

const NO_FLAGS: HelmValueFlags = { files: [], set: [], setString: [], setFile: [] };

describe('the helm program', () => {
  const dir = useTempDir();
  const script = (text: string): string => {
    const file = path.join(dir(), 'helm');
    writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, 0o755);
    return file;
  };
  const codeFrom = (what: Promise<unknown>) => what.then(() => undefined, codeOf);

  it('gets arguments and input, and its output comes back', async () => {
    const helm = helmProgram(script('echo "$1 $2"; cat'));
    expect(await helm.run(['a', 'b c'], 'values')).to.equal('a b c\nvalues');
  });

  it('may end before it has read its input', async () => {
    const helm = helmProgram(script('echo "Error: no" >&2; exit 1'));
    expect(await codeFrom(helm.run([], 'x'.repeat(1_000_000)))).to.equal('CHART_FAILED');
  });

  it('is asked for where there is none, and where it is no program', async () => {
    expect(await codeFrom(helmProgram('/no/helm').run([]))).to.equal('HELM_MISSING');
    const file = path.join(dir(), 'text');
    writeFileSync(file, '', { mode: 0o600 });
    expect(await codeFrom(helmProgram(file).run([]))).to.equal('HELM_MISSING');
  });

  it('reads values itself: a file with our own below, then the files, then --set and its like, in this order', async () => {
    const helm = script('shift 3; echo "values: {\\"args\\": \\"$*\\"}"');
    const flags = { files: ['a.yaml', '-'], set: ['a=1', 'b=2'], setString: ['c=3'], setFile: ['d=e'] };
    const { args } = await gatherValues(helmProgram(helm), { x: 1 }, flags);
    expect(String(args)).to.match(
      /^-f \S+base\.yaml -f a\.yaml -f - --set a=1 --set b=2 --set-string c=3 --set-file d=e$/,
    );
    const keep = script('echo "values: { below: $(cat "$5") }"');
    expect(await gatherValues(helmProgram(keep), {}, NO_FLAGS)).to.deep.equal({ below: {} });
    const failing = helmProgram(script('exit 1'));
    expect(await codeFrom(gatherValues(failing, {}, NO_FLAGS))).to.equal('CHART_FAILED');
  });

  // It held in a review: arguments are read by everybody on the machine, and the Secret with the values by
  // `upgrade`.
  it('gets the key of an issuer by its input only, and nothing that is kept has it', async () => {
    const runs: { readonly args: readonly string[]; readonly input: string | undefined }[] = [];
    const helm: Helm = {
      run: (args, input) => {
        runs.push({ args, input });
        return Promise.resolve('');
      },
    };
    const once = { identity: { issuer: { tls: { keyPEM: 'a-private-key' } } } };
    const versions = { kubernetes: 'v1.34.0', version: '0.1.0', podSecurity: undefined };
    const objects = await renderAll({ helm, namespace: 'ns', values: { x: 1 }, once, ...versions });
    expect(runs.map(({ args }) => args.join().includes('a-private-key'))).to.deep.equal([false, false]);
    expect(runs.filter(({ input }) => input?.includes('a-private-key'))).to.have.length(1);
    const key = Buffer.from('a-private-key').toString('base64');
    const text = JSON.stringify(objects);
    expect([text.includes('a-private-key'), text.includes(key)]).to.deep.equal([false, false]);
  });

  it("names keys of values that the chart's schema refuses, in the words of every helm since 3.14", () => {
    const said = (text: string) => {
      const { code, message } = helmError(text);
      return [code, message];
    };
    const head =
      "Error: values don't meet the specifications of the schema(s) in the following chart(s):\nlinkspan:";
    expect(
      said(
        `${head}\n- at '/gateway': validation failed\n  - at '/gateway/serviceType': value must be one of 'A', 'B'\n  - at '/gateway': additional properties 'prot', 'x' not allowed\n- at '': additional properties 'y' not allowed\n`,
      ),
    ).to.deep.equal([
      'VALUES_INVALID',
      "gateway.serviceType: value must be one of 'A', 'B'; gateway.prot: the chart has no such value; gateway.x: the chart has no such value; y: the chart has no such value",
    ]);
    expect(said(`${head}\n- gateway.port: Invalid type. Expected: integer, given: string\n`)).to.deep.equal([
      'VALUES_INVALID',
      'gateway.port: Invalid type. Expected: integer, given: string',
    ]);
  });

  it('tells wrong values from a cluster that is too old and a chart that is broken', () => {
    const code = (text: string) =>
      helmError(`Error: ${text}\n\nUse --debug flag to render out invalid YAML\n`).code;
    expect(code('failed parsing --set data: error parsing index: EOF')).to.equal('VALUES_INVALID');
    expect(code('open /nofile: no such file or directory')).to.equal('VALUES_INVALID');
    expect(code('execution error at (linkspan/templates/controller.yaml:70:14): keyPEM is missing')).to.equal(
      'VALUES_INVALID',
    );
    expect(
      code('chart requires kubeVersion: >=1.30.0-0 which is incompatible with Kubernetes v1.29.0'),
    ).to.equal('KUBERNETES_TOO_OLD');
    expect(helmError('Error: template: a:1: function "x" not defined\n').message).to.equal(
      'helm: template: a:1: function "x" not defined',
    );
  });

  it('guesses which value was meant, and leaves other errors alone', () => {
    const keys = ['gateway.port', 'egress.replicas'];
    const error = helmError(
      "Error: x specifications of the schema\n- at '/gateway': additional properties 'prot' not allowed\n",
    );
    expect((withNearestKeys(error, keys) as Error).message).to.equal(
      'gateway.prot: the chart has no such value (did you mean gateway.port?)',
    );
    const other = new Error('other');
    expect(withNearestKeys(other, keys)).to.equal(other);
  });
});

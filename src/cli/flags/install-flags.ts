import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { DEFAULT_LINKERD_NAMESPACE, DEFAULT_NAMESPACE } from '../../api/names.ts';
import { parseAnchorsFlag } from '../../identity/trust/bound-anchors.ts';
import { parseCertificates } from '../../identity/x509/certificate.ts';
import { helmProgram } from '../../install/helm.ts';
import type { IssuerFiles } from '../../install/issuer.ts';
import { imageValues } from '../../install/install-plan.ts';
import type { InstallRequest } from '../../install/prepare-install.ts';
import { type HelmValueFlags, joinValues, type Values } from '../../install/values.ts';
import { clusterFlags, durationFlag, withClusterFlags } from './cluster-flags.ts';
import { boolFlag, dnsLabel, portFlag } from './link-flags.ts';
import { manifestFormat } from '../output/output.ts';
import { readVersion } from '../../base/version.ts';

const texts = z.array(z.string()).default([]);
/** helm's flags for values. */
export const valueFlags = {
  ha: z.boolean().default(false),
  set: texts,
  setString: texts,
  setFile: texts,
  values: texts,
  helm: z.string(),
};
const serviceTypes = ['LoadBalancer', 'NodePort', 'ClusterIP'] as const;

/** Flags that `install` and `upgrade` share. */
export const installFlags = {
  ...clusterFlags,
  namespace: dnsLabel,
  linkerdNamespace: dnsLabel,
  gateway: boolFlag.optional(),
  gatewayPort: portFlag,
  gatewayProbePort: portFlag,
  gatewayProbeSeconds: z.coerce.number().int().min(1).optional(),
  gatewayServiceType: z.enum(serviceTypes, { error: `must be ${serviceTypes.join(', ')}` }).optional(),
  gatewayHealthcheckNodeport: z.coerce.number().int().min(0).max(65_535).optional(),
  serviceMirrorCredentials: boolFlag.optional(),
  image: z.string().optional(),
  clusterName: dnsLabel.optional(),
  anchors: texts,
  distrust: texts,
  allowTrustDomain: texts,
  identityTrustAnchorsFile: z.string().optional(),
  identityIssuerCertificateFile: z.string().optional(),
  identityIssuerKeyFile: z.string().optional(),
  ...valueFlags,
  apply: z.boolean().default(false),
  force: z.boolean().default(false),
  wait: durationFlag,
  output: manifestFormat,
};
export type InstallSettings = z.output<z.ZodObject<typeof installFlags>>;

const many = (next: string, before: readonly string[] | undefined) => [...(before ?? []), next];

/**
 * Adds the flags of `installFlags`. Those that set values have no defaults, so that the chart's, or the
 * stored ones for `upgrade`, stay.
 */
export function withInstallFlags(command: Command): Command {
  const flagged = withClusterFlags(command, 'cluster to install in')
    .option('-n, --namespace <ns>', 'namespace of the installation', DEFAULT_NAMESPACE)
    .option('-L, --linkerd-namespace <ns>', "namespace of Linkerd's control plane", DEFAULT_LINKERD_NAMESPACE)
    .option('--gateway [bool]', 'whether there is a gateway (chart: true)')
    .option('--no-gateway', 'same as --gateway=false')
    .option('--gateway-port <port>', 'port for other clusters (chart: 4143)')
    .option('--gateway-probe-port <port>', 'port of the probes (chart: 4191)')
    .option('--gateway-probe-seconds <n>', 'seconds between two probes (chart: 3)')
    .option('--gateway-service-type <type>', `${serviceTypes.join(', ')} (chart: LoadBalancer)`)
    .option('--gateway-healthcheck-nodeport <port>', "node port of a cloud's health check; 0: none")
    .option('--service-mirror-credentials [bool]', 'account for source clusters (chart: true)')
    .option('--image <image>', "image of all processes (chart: this version's)")
    .option(
      '--cluster-name <name>',
      'give the cluster a trust domain of its own: <name>.<identityTrustDomain>, <name>.cluster.local',
    )
    .option(
      '--anchors <domain=file...>',
      "PEM trust anchors (certificates, never keys) of another cluster's trust domain, which can vouch for nobody else",
    )
    .option(
      '--distrust <domain...>',
      'upgrade: take away the trust anchors of these domains, and that the gateway lets them in',
    )
    .option('--allow-trust-domain <domain...>', 'trust domains beside its own that the gateway lets in')
    .option('--identity-trust-anchors-file <file>', "PEM trust anchors that this cluster's issuer leads to")
    .option('--identity-issuer-certificate-file <file>', 'PEM certificate of the issuer')
    .option('--identity-issuer-key-file <file>', 'PEM key of the issuer');
  return withValueFlags(flagged)
    .option('--apply', 'apply to the cluster instead of printing')
    .option('--force', "take over what is somebody else's")
    .option('--wait <time>', 'with --apply: time for everything to become available; 0s: do not wait', '5m')
    .option('-o, --output <format>', 'yaml or json', 'yaml');
}

/** Adds the flags of `valueFlags`. */
export function withValueFlags(command: Command): Command {
  return command
    .option('--ha', 'high availability: replicas, anti-affinity, autoscaling')
    .option('--set <key=value>', 'a value of the chart, as in helm (repeatable)', many)
    .option('--set-string <key=value>', 'a value that is text (repeatable)', many)
    .option('--set-file <key=file>', 'a value from a file (repeatable)', many)
    .option('-f, --values <file>', 'YAML values, a file or URL (repeatable)', many)
    .addOption(new Option('--helm <program>', 'helm 3.14 or later').env('LINKSPAN_HELM').default('helm'));
}

/** The request from the flags. @throws LinkspanError CONFIG_INVALID, IDENTITY_MISSING */
export async function installRequest(
  verb: InstallRequest['verb'],
  flags: InstallSettings,
): Promise<InstallRequest> {
  return {
    verb,
    namespace: flags.namespace,
    linkerdNamespace: flags.linkerdNamespace,
    ha: flags.ha,
    flagValues: joinValues(valuesOf(flags), await anchorValues(flags.anchors)),
    distrusted: flags.distrust,
    helmFlags: helmFlagsOf(flags),
    issuerFiles: await issuerFiles(verb, flags),
    force: flags.force,
    helm: helmProgram(flags.helm),
    version: readVersion(),
  };
}

/** The flags that are passed on to helm. */
export function helmFlagsOf(flags: z.output<z.ZodObject<typeof valueFlags>>): HelmValueFlags {
  return { files: flags.values, set: flags.set, setString: flags.setString, setFile: flags.setFile };
}

/** The values that flags set; flags that were not given set none. */
export function valuesOf(flags: InstallSettings): Values {
  const nodePort = flags.gatewayHealthcheckNodeport;
  const probe = defined({ port: flags.gatewayProbePort, seconds: flags.gatewayProbeSeconds });
  const gateway = defined({
    enabled: flags.gateway,
    port: flags.gatewayPort,
    serviceType: flags.gatewayServiceType,
    healthCheckNodePort: nodePort === 0 ? '' : nodePort,
    probe: Object.keys(probe).length === 0 ? undefined : probe,
    allowTrustDomains: flags.allowTrustDomain.length === 0 ? undefined : flags.allowTrustDomain,
  });
  const values = defined({
    gateway: Object.keys(gateway).length === 0 ? undefined : gateway,
    remoteMirrorServiceAccount: flags.serviceMirrorCredentials,
    clusterName: flags.clusterName,
    linkerdNamespace:
      flags.linkerdNamespace === DEFAULT_LINKERD_NAMESPACE ? undefined : flags.linkerdNamespace,
  });
  return flags.image === undefined ? values : joinValues(values, imageValues(flags.image));
}

function defined(values: Values): Values {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

/**
 * The anchors of `--anchors` as values. A file that holds a private key is refused, because it would be
 * published in a ConfigMap.
 * @throws LinkspanError CONFIG_INVALID, IDENTITY_…
 */
async function anchorValues(bindings: readonly string[]): Promise<Values> {
  const anchors: Record<string, string> = {};
  for (const text of bindings) {
    const binding = parseAnchorsFlag(text);
    if ('configMap' in binding)
      throw new LinkspanError('CONFIG_INVALID', `--anchors: "${text}" is not <domain>=<file>`);
    const { path, text: pem } = await pemFile(binding.file);
    const found = parseCertificates(pem, path);
    anchors[binding.domain] = found.map(({ x509 }) => x509.toString()).join('');
  }
  return Object.keys(anchors).length === 0 ? {} : { identity: { anchors } };
}

/** The issuer's files; all three flags or none must be given. */
async function issuerFiles(verb: string, flags: InstallSettings): Promise<IssuerFiles | undefined> {
  const named = {
    '--identity-trust-anchors-file': flags.identityTrustAnchorsFile,
    '--identity-issuer-certificate-file': flags.identityIssuerCertificateFile,
    '--identity-issuer-key-file': flags.identityIssuerKeyFile,
  };
  const missing = Object.entries(named).filter(([, file]) => file === undefined);
  if (missing.length === 3) return undefined;
  if (missing.length > 0)
    throw new LinkspanError(
      'CONFIG_INVALID',
      `${verb}: an issuer needs all three files: ${missing.map(([flag]) => flag).join(', ')} is missing`,
    );
  const [ca = '', cert = '', key = ''] = Object.values(named);
  return { ca: await pemFile(ca), cert: await pemFile(cert), key: await pemFile(key) };
}

async function pemFile(file: string): Promise<{ path: string; text: string }> {
  try {
    return { path: file, text: await readFile(file, 'utf8') };
  } catch (cause) {
    throw new LinkspanError('IDENTITY_MISSING', `${file}: ${messageOf(cause)}`, { cause });
  }
}

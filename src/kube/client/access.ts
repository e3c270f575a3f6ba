import { existsSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { FEW_VALUES } from '../../base/config.ts';
import { withoutEnd } from '../../base/text.ts';
import { pluginAuth, staticAuth, tokenFileAuth, type Auth } from './auth.ts';
import { execPluginAuth, execSchema } from './exec-plugin.ts';
import {
  absolutePaths,
  checked,
  type Config,
  type ConfigText,
  invalid,
  type KubeconfigOrigin,
  parseText,
  personsKubeconfig,
  readConfigText,
  readText,
} from './kubeconfig.ts';

const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

/** How to reach an API server, and as whom. */
export interface ClusterAccess {
  /** URL of the API server, without a slash at the end. */
  readonly server: string;
  /** Where this came from, for messages: a file, a Secret, the pod's own account. */
  readonly source: string;
  /** CA bundle, PEM. */
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly tlsServerName: string | undefined;
  readonly skipVerify: boolean;
  /** Headers of each request; re-read or renewed where the kubeconfig says so. */
  readonly auth: Auth;
  /**
   * The token that the kubeconfig itself holds, for what it says about itself: whose it is and when it
   * expires.
   */
  readonly bearer: string | undefined;
  /** Whom to be taken for instead; our own account must have the right to `impersonate`. */
  readonly impersonate?: { readonly user: string; readonly groups: readonly string[] };
}

/** `source` of a pod's own account. */
const POD_ACCOUNT = "the pod's service account";

/** Whether this is a pod's own account, whose server is a ClusterIP. */
export function isPodAccount(access: ClusterAccess): boolean {
  return access.source === POD_ACCOUNT;
}

/**
 * The same server with this token, and without anything else that says who asks: client certificate, key,
 * impersonation.
 */
export function withBearer(access: ClusterAccess, token: string): ClusterAccess {
  const { impersonate: _somebody, ...server } = access;
  return {
    ...server,
    cert: undefined,
    key: undefined,
    auth: staticAuth(`Bearer ${token}`),
    bearer: token,
  };
}

/** Access to a server that asks nobody who they are: a controller's admin port. */
export function anonymousAccess(url: string): ClusterAccess {
  const parsed = URL.parse(url);
  if (parsed === null || !/^https?:$/.test(parsed.protocol))
    throw new LinkspanError('CONFIG_INVALID', `"${url}" is not a URL such as http://10.0.0.1:9999`);
  return {
    server: withoutEnd(url, '/'),
    source: url,
    ca: undefined,
    cert: undefined,
    key: undefined,
    tlsServerName: undefined,
    skipVerify: false,
    auth: staticAuth(undefined),
    bearer: undefined,
  };
}

/**
 * Where a kubeconfig is. `default` is the files of $KUBECONFIG together, else the pod's own account when
 * there is one, else ~/.kube/config.
 */
export type AccessSource =
  | { readonly file: string; readonly context?: string }
  | { readonly text: string; readonly source: string; readonly context?: string }
  | { readonly inCluster: true }
  | { readonly default: true; readonly context?: string };

/**
 * Entries by name. What they hold is checked when it is used: one broken entry leaves the other contexts
 * usable, as in kubectl.
 */
const text = z.string().nullish();
const clusterSchema = z.looseObject({
  server: z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }),
  'certificate-authority': text,
  'certificate-authority-data': text,
  'insecure-skip-tls-verify': z.boolean().nullish(),
  'tls-server-name': text,
  'proxy-url': text,
});
const contextSchema = z.looseObject({ cluster: z.string(), user: text });
const userSchema = z.looseObject({
  token: text,
  tokenFile: text,
  'client-certificate': text,
  'client-certificate-data': text,
  'client-key': text,
  'client-key-data': text,
  username: text,
  password: text,
  exec: z.unknown().optional(),
  'auth-provider': z.unknown().optional(),
});
type Cluster = z.output<typeof clusterSchema>;
type User = z.output<typeof userSchema>;

/**
 * Reads how to reach a cluster. The usual kubeconfigs (tokens, certificates, the pod's own account) are read
 * here; @kubernetes/client-node, which costs 85 MB of memory when it is loaded, is only loaded for users with
 * auth providers.
 * @throws LinkspanError KUBECONFIG_UNREADABLE, KUBECONFIG_INVALID
 */
export function loadAccess(from: AccessSource): ClusterAccess {
  if ('inCluster' in from) return inCluster();
  if ('file' in from) return fromConfig(readConfigText(from.file), from.context);
  if ('text' in from)
    return fromText(from.text, { source: from.source, directory: undefined, context: from.context });
  const person = (process.env['KUBECONFIG'] ?? '') !== '' || from.context !== undefined;
  if (!person && existsSync(path.join(SERVICE_ACCOUNT_DIR, 'token'))) return inCluster();
  return fromConfig(personsKubeconfig(), from.context);
}

function fromConfig(config: ConfigText, context: string | undefined): ClusterAccess {
  return fromText(config.text, { source: config.source, directory: config.directory, context });
}

function inCluster(): ClusterAccess {
  const host = process.env['KUBERNETES_SERVICE_HOST'];
  const port = process.env['KUBERNETES_SERVICE_PORT'] ?? '443';
  if (host === undefined) {
    throw new LinkspanError(
      'KUBECONFIG_UNREADABLE',
      'this process is not in a pod: KUBERNETES_SERVICE_HOST is not set',
    );
  }
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    source: POD_ACCOUNT,
    ca: readText(path.join(SERVICE_ACCOUNT_DIR, 'ca.crt')),
    cert: undefined,
    key: undefined,
    tlsServerName: undefined,
    skipVerify: false,
    auth: tokenFileAuth(path.join(SERVICE_ACCOUNT_DIR, 'token')),
    bearer: undefined,
  };
}

function fromText(textOfConfig: string, origin: KubeconfigOrigin): ClusterAccess {
  const { cluster, user } = select(parseText(textOfConfig, origin), origin);
  const pem = (what: string, data: string | null | undefined, file: string | null | undefined) =>
    pemOf({ what, data: data ?? undefined, file: file ?? undefined }, origin);
  const cert = pem('client-certificate', user['client-certificate-data'], user['client-certificate']);
  const key = pem('client-key', user['client-key-data'], user['client-key']);
  if ((cert === undefined) !== (key === undefined))
    throw invalid(
      origin,
      `has a client ${cert === undefined ? 'key without its certificate' : 'certificate without its key'}`,
    );
  // Without its proxy the server may not be reachable, or another one may answer at that address.
  if (cluster['proxy-url'])
    throw invalid(origin, `wants the proxy ${cluster['proxy-url']} (proxy-url), which is not supported`);
  return {
    server: withoutEnd(cluster.server, '/'),
    source: origin.source,
    ca: pem('certificate-authority', cluster['certificate-authority-data'], cluster['certificate-authority']),
    cert,
    key,
    tlsServerName: cluster['tls-server-name'] || undefined,
    skipVerify: cluster['insecure-skip-tls-verify'] === true,
    auth: authOf(user, cluster, origin),
    bearer: user.tokenFile ? undefined : user.token?.trim() || undefined,
  };
}

function select(config: Config, origin: KubeconfigOrigin): { cluster: Cluster; user: User } {
  const contextName = origin.context ?? config['current-context'] ?? '';
  if (contextName === '') throw invalid(origin, 'has no current-context');
  const pick = <S extends z.ZodType>(kind: 'context' | 'cluster' | 'user', name: string, shape: S) => {
    const entries = config[`${kind}s`] ?? [];
    const found = entries.find((entry) => entry.name === name);
    if (found !== undefined) return checked(shape, found[kind] ?? {}, `${kind} "${name}":`, origin);
    const names = entries.map((entry) => entry.name).join(', ');
    throw invalid(origin, `has no ${kind} "${name}" (it has: ${names === '' ? 'none' : names})`);
  };
  const context = pick('context', contextName, contextSchema);
  return {
    cluster: pick('cluster', context.cluster, clusterSchema),
    user: context.user ? pick('user', context.user, userSchema) : {},
  };
}

function pemOf(
  value: { what: string; data: string | undefined; file: string | undefined },
  origin: KubeconfigOrigin,
): string | undefined {
  const { what, data, file } = value;
  if (data !== undefined && data !== '') {
    // Buffer skips what is not base64, which would leave a damaged certificate for TLS to complain about.
    const decoded = /^[\w+/=\s-]*$/.test(data) ? Buffer.from(data, 'base64').toString('utf8') : '';
    if (!decoded.includes('-----BEGIN ')) throw invalid(origin, `${what}-data is not base64 of a PEM file`);
    return decoded;
  }
  return file === undefined || file === '' ? undefined : readText(resolveFile(what, file, origin));
}

function resolveFile(what: string, file: string, origin: KubeconfigOrigin): string {
  if (origin.directory !== undefined) return path.resolve(origin.directory, file);
  throw invalid(
    origin,
    `${what} names the file ${file}, which does not exist where this is used; inline it (${what}-data)`,
  );
}

function authOf(user: User, cluster: Cluster, origin: KubeconfigOrigin): Auth {
  if (user.tokenFile) return tokenFileAuth(resolveFile('tokenFile', user.tokenFile, origin));
  if (user.token) return staticAuth(`Bearer ${user.token.trim()}`);
  if (user.username)
    return staticAuth(`Basic ${Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64')}`);
  const { exec, 'auth-provider': provider } = user;
  const plugin = exec ?? provider;
  if (plugin === undefined || plugin === null) return staticAuth(undefined);
  const { directory } = origin;
  if (directory === undefined)
    throw invalid(origin, 'uses a plugin (exec or auth-provider), which cannot run where this is used');
  if (exec !== undefined && exec !== null)
    return execPluginAuth({
      exec: checked(execSchema, exec, 'exec', origin),
      directory,
      cluster: clusterInfo(cluster, origin),
      failed: (what, cause) => invalid(origin, what, cause),
    });
  // Only what is used, and with its files where they are: the library reads all of a kubeconfig, from the
  // working directory.
  const alone = {
    'current-context': 'used',
    contexts: [{ name: 'used', context: { cluster: 'used', user: 'used' } }],
    clusters: [{ name: 'used', cluster: absolutePaths(cluster, directory) }],
    users: [{ name: 'used', user: absolutePaths(user, directory) }],
  };
  return pluginAuth(stringify(alone), 'used', origin.source);
}

/** The cluster as plugins are told of it (`ExecCredential.spec.cluster`). */
function clusterInfo(cluster: Cluster, origin: KubeconfigOrigin): Record<string, unknown> {
  const file = cluster['certificate-authority'];
  const ca = cluster['certificate-authority-data'] || (file ? base64Of(file, origin) : undefined);
  const extensions = z
    .array(z.looseObject({ name: z.string(), extension: z.unknown() }))
    .safeParse(cluster['extensions'], FEW_VALUES).data;
  const config = extensions?.find(({ name }) => name === 'client.authentication.k8s.io/exec')?.extension;
  return {
    server: cluster.server,
    ...(cluster['tls-server-name'] ? { 'tls-server-name': cluster['tls-server-name'] } : {}),
    ...(cluster['insecure-skip-tls-verify'] === true ? { 'insecure-skip-tls-verify': true } : {}),
    ...(ca === undefined ? {} : { 'certificate-authority-data': ca }),
    ...(config === undefined ? {} : { config }),
  };
}

function base64Of(file: string, origin: KubeconfigOrigin): string {
  return Buffer.from(readText(resolveFile('certificate-authority', file, origin))).toString('base64');
}

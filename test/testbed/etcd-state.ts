/**
 * What a cluster holds, read from etcd and put back there: cheaper than to start another by seconds of CPU.
 */

/** Where API servers keep everything. */
const ALL = { key: base64('/registry/'), range_end: base64('/registry0') };
/**
 * What an API server writes of itself all the time, and notices when somebody puts back what was there
 * before: its own Leases.
 */
const ITS_OWN = /^\/registry\/(leases|masterleases)\//;
/** Operations of one transaction, of which etcd takes 128. */
const AT_ONCE = 100;

/** Values by key, both in base64. */
export type EtcdState = ReadonlyMap<string, string>;

/** Everything that API servers have put into the etcd at a URL. */
export async function readState(etcd: string): Promise<EtcdState> {
  const { kvs = [] } = await ask<{ kvs?: { key: string; value?: string }[] }>(etcd, 'range', ALL);
  return new Map(kvs.map(({ key, value = '' }) => [key, value]));
}

const CRD = /^\/registry\/apiextensions\.k8s\.io\/customresourcedefinitions\/[^.]+\.(?<group>.+)$/;
const API_SERVICE = /^\/registry\/apiregistration\.k8s\.io\/apiservices\/v[^.]+\.(?<group>.+)$/;

/**
 * The groups that an API server still serves although their kinds are gone, which it finds out a little
 * later: their APIServices are there, and no CustomResourceDefinition is. What is put back to such a state
 * does not stay so. Pure.
 */
export function staleGroups(state: EtcdState): Set<string> {
  const names = [...state.keys()].map((key) => Buffer.from(key, 'base64').toString('latin1'));
  const kinds = new Set(names.map((name) => CRD.exec(name)?.groups?.['group']));
  const stale = new Set<string>();
  for (const [key, value] of state) {
    const group = API_SERVICE.exec(Buffer.from(key, 'base64').toString('latin1'))?.groups?.['group'];
    // Those of its own kinds are labelled otherwise (`onstart`).
    const isOfKinds = Buffer.from(value, 'base64')
      .toString('latin1')
      .includes('"kube-aggregator.kubernetes.io/automanaged":"true"');
    if (group !== undefined && isOfKinds && !kinds.has(group)) stale.add(group);
  }
  return stale;
}

/**
 * Makes everything as it was: what has come since goes, at once and whatever its finalizers say; what was
 * changed or deleted is put back. API servers learn of it as of every other change, by their watches.
 */
export async function putBack(etcd: string, state: EtcdState): Promise<void> {
  const now = await readState(etcd);
  const gone = [...now.keys()].filter((key) => !state.has(key) && !isItsOwn(key));
  const changed = [...state].filter(([key, value]) => now.get(key) !== value && !isItsOwn(key));
  const operations = [
    ...gone.map((key) => ({ request_delete_range: { key } })),
    ...changed.map(([key, value]) => ({ request_put: { key, value } })),
  ];
  for (let at = 0; at < operations.length; at += AT_ONCE)
    await ask(etcd, 'txn', { success: operations.slice(at, at + AT_ONCE) });
}

function isItsOwn(key: string): boolean {
  return ITS_OWN.test(Buffer.from(key, 'base64').toString('latin1'));
}

function base64(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64');
}

/** etcd's JSON gateway (etcd, "Why gRPC gateway"). */
async function ask<T>(etcd: string, what: 'range' | 'txn', body: object): Promise<T> {
  const response = await fetch(`${etcd}/v3/kv/${what}`, { method: 'POST', body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`etcd, ${what}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

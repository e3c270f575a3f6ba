import type { V1CertificateSigningRequest } from '@kubernetes/client-node';
import { SIGNER_NAME } from '../../api/names.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { isConflict, isNotFound, type KubeClient } from '../../kube/client/kube-client.ts';
import { Reflector } from '../../kube/informer/reflector.ts';
import { certificateSigningRequests } from '../../api/kubernetes/resource.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import { WorkQueue } from '../../kube/queue/work-queue.ts';
import type { Health } from '../../telemetry/admin.ts';
import type { Logger } from '../../telemetry/log.ts';
import { isoTime } from '../x509/certificate.ts';
import { readCsr, type ReadCsr } from './csr-facts.ts';
import { issueLeaf } from '../authority/issue.ts';
import type { IssuerSource } from '../authority/issuer-dir.ts';
import { type DenialReason, signerVerdict, type SignerRules, type SignerVerdict } from './csr-approval.ts';

export interface SignerOptions {
  readonly client: KubeClient;
  readonly issuer: IssuerSource;
  readonly rules: SignerRules;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** What a signer does next with a request. */
export type SignerStep = 'nothing' | 'approve' | 'deny' | 'sign' | 'fail';

type Csr = V1CertificateSigningRequest;
type Allowed = Extract<SignerVerdict, { allowed: true }>;
type Denied = Extract<SignerVerdict, { allowed: false }>;

const BACKOFF = { minMs: 500, maxMs: 30_000 };
const CONCURRENCY = 4;

/**
 * The next step for a request, by its conditions and certificate so far. A request that a person approved
 * although the rules deny it is never signed: approval cannot be withdrawn, so the request gets the condition
 * Failed.
 */
export function signerStep(csr: Csr, allowed: boolean): SignerStep {
  const has = (type: string) => csr.status?.conditions?.some((condition) => condition.type === type) === true;
  if (csr.spec.signerName !== SIGNER_NAME || (csr.status?.certificate ?? '') !== '') return 'nothing';
  if (has('Denied') || has('Failed')) return 'nothing';
  if (!allowed) return has('Approved') ? 'fail' : 'deny';
  return has('Approved') ? 'sign' : 'approve';
}

/**
 * Signs the CertificateSigningRequests of signer `linkspan.dev/workload` that the rules allow
 * (`signerVerdict`), and denies the others. Any number of replicas may run: each write carries the
 * resourceVersion that was decided on, so that of two writes one succeeds and the other is a conflict.
 * Requests to other signers are not watched.
 */
export class Signer {
  /** Certificates issued, and requests denied by reason, since the start. */
  readonly issued = new Map<'Issued' | DenialReason, number>();
  readonly #options: SignerOptions;
  readonly #store = new IndexedStore<Csr>();
  readonly #reflector: Reflector<Csr>;
  readonly #queue: WorkQueue;
  readonly #unsubscribe: () => void;

  constructor(options: SignerOptions) {
    this.#options = options;
    const { client, clock, random, log, issuer } = options;
    this.#queue = new WorkQueue({
      handler: (key, signal) => this.#handle(key, signal),
      concurrency: CONCURRENCY,
      backoff: BACKOFF,
      clock,
      random,
      log,
      onError: (key, error) => log.warn({ request: key, err: error }, 'signing failed, trying again'),
    });
    this.#reflector = new Reflector({
      client,
      resource: certificateSigningRequests,
      fieldSelector: `spec.signerName=${SIGNER_NAME}`,
      store: this.#store,
      clock,
      random,
      log,
    });
    this.#store.subscribe('signer: requests', ({ type, key }) => {
      if (type !== 'deleted') this.#queue.add(key);
    });
    // Requests that waited for a valid issuer are taken up again.
    this.#unsubscribe = issuer.subscribe(() => {
      for (const key of this.#store.keys()) this.#queue.add(key);
    });
  }

  /** Whether the requests are known. */
  get ready(): Health {
    if (this.#reflector.synced) return { ok: true, reason: '' };
    return { ok: false, reason: `waiting for certificatesigningrequests: ${this.#reflector.state}` };
  }

  start(): void {
    this.#reflector.start();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    await Promise.all([this.#reflector.stop(), this.#queue.stop()]);
  }

  async #handle(key: string, signal: AbortSignal): Promise<void> {
    const csr = this.#store.get(key);
    if (csr === undefined || signerStep(csr, true) === 'nothing') return;
    const read = await readCsr(csr);
    try {
      await this.#act(csr, read, signal);
    } catch (error) {
      // Another replica or a person was faster; the watch brings the new version.
      if (!isConflict(error) && !isNotFound(error)) throw error;
    }
  }

  async #act(csr: Csr, read: ReadCsr, signal: AbortSignal): Promise<void> {
    const verdict = signerVerdict(read.facts, this.#options.rules);
    if (!verdict.allowed) return this.#refuse(csr, verdict, signal);
    const issuer = this.#options.issuer.current();
    // Without an issuer the request is not approved either; it is taken up again when there is one.
    if (issuer === undefined) return;
    const message = `may be ${verdict.identity}`;
    const approved =
      signerStep(csr, true) === 'approve'
        ? await this.#condition(csr, { type: 'Approved', reason: 'OwnIdentity', message }, signal)
        : csr;
    await this.#sign(approved, verdict, read, signal);
  }

  async #sign(csr: Csr, verdict: Allowed, { publicKey }: ReadCsr, signal: AbortSignal): Promise<void> {
    const { client, issuer, clock, log } = this.#options;
    const authority = issuer.current();
    if (publicKey === undefined || authority === undefined || signerStep(csr, true) !== 'sign') return;
    const { identity, lifetimeMs, server, client: clientAuth } = verdict;
    const uses = { server, client: clientAuth };
    const leaf = await issueLeaf(authority, { identity, lifetimeMs, uses, publicKey, clock });
    const name = csr.metadata?.name ?? '';
    const body = {
      metadata: { resourceVersion: csr.metadata?.resourceVersion },
      status: { certificate: Buffer.from(leaf.cert).toString('base64') },
    };
    const patch = { type: 'merge', subresource: 'status', signal } as const;
    await client.patch(certificateSigningRequests, { name }, body, patch);
    this.#count('Issued');
    log.info({ request: name, identity, notAfter: isoTime(leaf.notAfter) }, 'certificate issued');
  }

  async #refuse(csr: Csr, { reason, message }: Denied, signal: AbortSignal): Promise<void> {
    const type = signerStep(csr, false) === 'fail' ? 'Failed' : 'Denied';
    await this.#condition(csr, { type, reason, message }, signal);
    this.#count(reason);
    const { username } = csr.spec;
    this.#options.log.warn(
      { request: csr.metadata?.name, username, reason, why: message },
      'certificate denied',
    );
  }

  /** Adds a condition to the request that was decided on, and to no later version of it. */
  #condition(
    csr: Csr,
    condition: { type: 'Approved' | 'Denied' | 'Failed'; reason: string; message: string },
    signal: AbortSignal,
  ): Promise<Csr> {
    const conditions = [...(csr.status?.conditions ?? []), { ...condition, status: 'True' }];
    const body = { metadata: { resourceVersion: csr.metadata?.resourceVersion }, status: { conditions } };
    const subresource = condition.type === 'Failed' ? 'status' : 'approval';
    const ref = { name: csr.metadata?.name ?? '' };
    const options = { type: 'merge', subresource, signal } as const;
    return this.#options.client.patch(certificateSigningRequests, ref, body, options);
  }

  #count(what: 'Issued' | DenialReason): void {
    this.issued.set(what, (this.issued.get(what) ?? 0) + 1);
  }
}

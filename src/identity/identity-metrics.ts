import { LEAF_EXPIRY_METRIC, LEAF_REFRESH_METRIC } from '../api/names.ts';
import type { Clock } from '../base/clock.ts';
import { Exposition, type MetricFamily } from '../telemetry/exposition.ts';
import { anchorExpiries } from './trust/anchor-expiries.ts';
import { Counter, Gauge, type Registry } from '../telemetry/registry.ts';
import type { IdentitySource } from './sources/identity.ts';
import type { IssuerSource } from './authority/issuer-dir.ts';
import type { Signer } from './signer/signer.ts';

/** Publishes an identity's state under the names that Linkerd's proxy uses. */
export function publishIdentity(registry: Registry, source: IdentitySource, clock: Clock): void {
  let seen = source.current()?.cert;
  let refreshed = seen === undefined ? undefined : clock.now();
  let count = seen === undefined ? 0 : 1;
  source.subscribe(() => {
    const cert = source.current()?.cert;
    if (cert === seen) return;
    seen = cert;
    refreshed = clock.now();
    count++;
  });
  const registers = [registry];
  const refreshes: Counter = new Counter({
    name: 'control_identity_cert_refreshes_total',
    help: 'Leaf certificates taken into use since the start.',
    registers,
    collect() {
      refreshes.reset();
      refreshes.inc(count);
    },
  });
  const seconds = (name: string, help: string, ms: () => number | undefined) => {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers,
      collect() {
        gauge.set((ms() ?? 0) / 1000);
      },
    });
  };
  registry.addText(() => {
    const out = new Exposition();
    const identity = source.current();
    const anchors = identity === undefined ? [] : anchorExpiries(identity);
    out.write(
      trustAnchorFamily,
      anchors.map(({ fingerprint, notAfter }) => [{ fingerprint }, notAfter / 1000]),
    );
    return out.pieces();
  });
  seconds(LEAF_REFRESH_METRIC, 'When the leaf certificate in use was taken; 0 without one.', () => refreshed);
  seconds(
    LEAF_EXPIRY_METRIC,
    'When the leaf certificate in use expires; 0 without one.',
    () => source.current()?.notAfter,
  );
}

const trustAnchorFamily: MetricFamily = {
  name: 'linkspan_trust_anchor_expiration_timestamp_seconds',
  type: 'gauge',
  labels: ['fingerprint'],
  help: 'When each trust anchor expires.',
};

/** Publishes what a signer has done and how long its issuer is good. */
export function publishSigner(registry: Registry, signer: Signer, issuer: IssuerSource): void {
  const registers = [registry];
  const requests: Counter = new Counter({
    name: 'linkspan_signer_requests_total',
    help: 'CertificateSigningRequests that this replica has decided, by result: Issued, or why denied.',
    labelNames: ['result'],
    registers,
    collect() {
      requests.reset();
      for (const [result, count] of signer.issued) requests.inc({ result }, count);
    },
  });
  const expiration: Gauge = new Gauge({
    name: 'linkspan_issuer_expiration_timestamp_seconds',
    help: "When the signer's issuer certificate expires; 0 without a good one.",
    registers,
    collect() {
      expiration.set((issuer.current()?.notAfter ?? 0) / 1000);
    },
  });
}

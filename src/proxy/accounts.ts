import type { FailureKind } from './failures.ts';

/** Upper bounds of latency buckets, milliseconds (linkerd2-proxy's `response_latency_ms`). */
export const LATENCY_BUCKETS: readonly number[] = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10_000, 20_000,
  30_000, 40_000, 50_000,
];

/** Requests of one target. */
export interface TargetAccount {
  requests: number;
  readonly responses: Map<number, number>;
  readonly buckets: number[];
  latencySum: number;
}

/** What the data path counts, in plain numbers; published when somebody asks (`metrics.ts`). One per process. */
export class Accounts {
  readonly targets = new Map<string, TargetAccount>();
  readonly failures = new Map<FailureKind, number>();
  /** Connections refused before a service was known, by reason. */
  readonly refused = new Map<string, number>();
  /** Transport headers by `protocol|name|port`. */
  readonly headers = new Map<string, number>();
  readonly client = { opened: 0, open: 0, readBytes: 0, writtenBytes: 0 };
  readonly endpoint = { opened: 0, open: 0, readBytes: 0, writtenBytes: 0 };

  request(target: string): void {
    this.#target(target).requests++;
  }

  /** @param ms time to the first byte of the response */
  response(target: string, status: number, ms: number): void {
    const account = this.#target(target);
    account.responses.set(status, (account.responses.get(status) ?? 0) + 1);
    account.latencySum += ms;
    const bucket = LATENCY_BUCKETS.findIndex((bound) => ms <= bound);
    const at = bucket < 0 ? LATENCY_BUCKETS.length : bucket;
    account.buckets[at] = (account.buckets[at] ?? 0) + 1;
  }

  failure(kind: FailureKind): void {
    this.failures.set(kind, (this.failures.get(kind) ?? 0) + 1);
  }

  refuse(reason: string): void {
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
  }

  header(protocol: string, name: string, port: number): void {
    const key = `${protocol}|${name}|${port}`;
    this.headers.set(key, (this.headers.get(key) ?? 0) + 1);
  }

  #target(label: string): TargetAccount {
    let account = this.targets.get(label);
    if (account === undefined) {
      account = { requests: 0, responses: new Map(), buckets: [], latencySum: 0 };
      this.targets.set(label, account);
    }
    return account;
  }
}

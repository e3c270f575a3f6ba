import type { FailoverDrain } from '../failover/failover-drain.ts';

/** Why a probe failed; the words are API (log field, Link condition message, `linkspan gateways`). */
export const probeReasons = {
  ProbeRefused: 'The address refuses connections or no route leads to it.',
  ProbeTimeout: 'No complete answer came in time; the address is silent or too slow.',
  ProbeStatus: 'It answered with another status than 200; the message has it.',
  ProbeBroken: 'It closed or reset the connection, or its answer cannot be read.',
  ProbeIdentity: 'The TLS handshake failed, or it proved another identity than that of the gateway.',
  ProbeNeedsIdentity: 'It demands mTLS, and the controller has no identity to show.',
} as const;
export type ProbeReason = keyof typeof probeReasons;

/** How a gateway is asked: HTTP/1.1 in the clear, or mTLS with prior-knowledge HTTP/2 (wire protocol 1.8). */
export type ProbeWay = 'http1' | 'mtls';

/**
 * What one probe found. `latencyMs` is the time from its beginning to its outcome, connecting and every try
 * included.
 */
export type ProbeOutcome =
  | {
      readonly ok: true;
      readonly latencyMs: number;
      readonly via: ProbeWay;
      /** It asks to be drained. */
      readonly drain?: FailoverDrain | undefined;
    }
  | {
      readonly ok: false;
      readonly reason: ProbeReason;
      readonly message: string;
      readonly latencyMs: number;
    };

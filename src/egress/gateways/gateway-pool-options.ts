import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { IdentitySource } from '../../identity/sources/identity.ts';
import type { Field } from '../../proxy/http/fields.ts';
import type { TlsOptions, ToldOfConnection } from '../../proxy/io/dial.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import type { Logger } from '../../telemetry/log.ts';

/** One address of a gateway. */
export interface GatewayEndpoint {
  readonly host: string;
  readonly port: number;
  /** Identity that its certificate must have. */
  readonly identity: string;
}

/** What all pools of an egress share. */
export interface GatewayPoolOptions {
  readonly identity: IdentitySource;
  readonly counters: ProxyCounters;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Whether stream mode is offered; default true. */
  readonly streams?: boolean;
  /** What this cluster is called, for gateways; default: they are not told. */
  readonly cluster?: string | undefined;
  /** Idle time after which a PING is sent, milliseconds; default 2 s. */
  readonly keepAliveMs?: number;
  /** Called for each connection whose gateway has proven its identity. */
  readonly onProven?: TlsOptions['onProven'];
}

/** Which service a flow is for. */
export interface FlowTarget extends ToldOfConnection {
  readonly name: string;
  readonly port: number;
  /** As what it is counted here. */
  readonly label: string;
  /** The same as a field of a stream's head. */
  readonly field: Field;
}

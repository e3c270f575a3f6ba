import type { LookupFunction } from 'node:net';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { AnswerLimits } from './answer-limits.ts';
import type { KubeObject } from '../../api/kubernetes/resource.ts';

export interface KubeClientOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log?: Logger;
  /** Time for one try of one request, milliseconds; default 10 s. Watches have their own. */
  readonly timeoutMs?: number;
  /** Connections for requests, beside those of watches; default 16. */
  readonly maxConnections?: number;
  /**
   * Looks the server's host name up; default getaddrinfo, which has two threads for all names of the process:
   * a name server that is silent holds up everybody.
   */
  readonly lookup?: LookupFunction;
  /** Tries of a request that may be repeated; default 4. */
  readonly maxTries?: number;
  /** Limits of one answer; default `ANSWER_LIMITS`. */
  readonly limits?: Partial<AnswerLimits>;
}

/** Of every request. */
export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** Of every write. */
export interface WriteOptions extends CallOptions {
  /**
   * Told of what the API server warns about (its `Warning` headers): deprecated versions, pods that a Pod
   * Security Standard would refuse, …
   */
  readonly onWarning?: (text: string) => void;
  /** Everything but the writing: the server says whether it would take it. */
  readonly dryRun?: boolean;
  /** Who owns the fields that are written; default `linkspan.dev`. */
  readonly fieldManager?: string;
}

export interface ListOptions<T = KubeObject> extends CallOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continueToken?: string;
  readonly resourceVersion?: string;
  /**
   * What is kept of each object, called while the answer arrives; undefined leaves it out. Default: all of
   * it. What it throws ends the list.
   */
  readonly keep?: (object: T) => T | undefined;
}

export interface WatchOptions extends Omit<ListOptions, 'limit' | 'continueToken' | 'keep'> {
  readonly resourceVersion: string;
  /**
   * After how many seconds the server should end the watch; a watch that is still open well after that is
   * dead.
   */
  readonly timeoutSeconds: number;
}

export interface PatchOptions extends WriteOptions {
  readonly type: 'merge' | 'apply' | 'json';
  readonly subresource?: 'status' | 'approval';
  /** Take over fields of other managers (apply only). */
  readonly force?: boolean;
}

export interface ListResult<T> {
  readonly items: T[];
  readonly resourceVersion: string;
  readonly continueToken?: string;
  /** Bytes of the answer. */
  readonly bytes?: number;
}

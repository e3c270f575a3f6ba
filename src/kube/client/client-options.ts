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
   * a silent name server delays every look-up.
   */
  readonly lookup?: LookupFunction;
  /** Tries of a request that may be repeated; default 4. */
  readonly maxTries?: number;
  /** Limits of one answer; default `ANSWER_LIMITS`. */
  readonly limits?: Partial<AnswerLimits>;
}

/** Options of every request. */
export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** Options of every write. */
export interface WriteOptions extends CallOptions {
  /**
   * Called with the API server's warnings (its `Warning` headers): deprecated versions, pods that a Pod
   * Security Standard would refuse, …
   */
  readonly onWarning?: (text: string) => void;
  /** A dry run: the server says whether it would take the object, and writes nothing. */
  readonly dryRun?: boolean;
  /** The field manager of the write; default `linkspan.dev`. */
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
   * Reduces each object while the answer arrives; undefined leaves it out. Default: all of it is kept. An
   * exception ends the list.
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

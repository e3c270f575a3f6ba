import { z } from 'zod';
import { rowsPage } from './answer-page.ts';

/** How the requests of one Service with several clusters fare at one egress pod. */
export interface DemandReport {
  /** `namespace/name` of the Service. */
  readonly service: string;
  /** Requests and raw connections since the pod runs. */
  readonly requests: number;
  /** Responses among them that were failures: 5xx, and gRPC's alike. */
  readonly failures: number;
  /** Those that no cluster took. */
  readonly refused: number;
  /** Those that no cluster takes, and that wait to be tried again now. */
  readonly pending: number;
}

/**
 * Most entries of a page that are written, and that are read, and the longest of their texts: together less
 * than the 1 MiB that is read of a page.
 */
export const MAX_DEMANDS = 1024;
export const MAX_DEMAND_TEXT = 300;

/** What an egress pod says about all Services that have a group there. */
export const EGRESS_DEMAND_PAGE = rowsPage<DemandReport>(
  '/demand',
  z.object({
    service: z.string().max(MAX_DEMAND_TEXT),
    requests: z.number().min(0),
    failures: z.number().min(0),
    refused: z.number().min(0),
    pending: z.number().min(0),
  }),
  MAX_DEMANDS,
);

import { z } from 'zod';
import { handMadeSlicesIn } from '../../exports/slice-makers.ts';

/** Flags of the gateway about how it reaches endpoints. */
export const endpointFlags = {
  mesh: z.enum(['auto', 'on', 'off']),
  zone: z.string().min(1).optional(),
  handMadeSlices: z.array(z.string().min(1)).default([]).transform(handMadeSlicesIn),
  maxPending: z.coerce.number().int().min(1),
};

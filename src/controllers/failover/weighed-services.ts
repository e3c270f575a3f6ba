/**
 * Services that are backends whose weights are managed, or that have tiers, as whoever mirrors them sees
 * them.
 */
export interface WeighedServices {
  /** @param service `namespace/name` */
  has(service: string): boolean;
  /** Whether any object gives it more than a standby has, so that sidecars send it requests. */
  isServing(service: string): boolean;
  /** Calls `listener` with each Service for which either may have changed. Returns the unsubscriber. */
  follow(listener: (service: string) => void): () => void;
}

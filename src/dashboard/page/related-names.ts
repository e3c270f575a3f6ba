/** Which names are of one Service: what it is called where it is, and what its mirrors are called. Pure. */

interface Report {
  /** `namespace/name` where it is. */
  readonly service: string;
  /** Its name in the cluster that mirrors it; the namespace is the same. */
  readonly local: string;
}

/** All names that are connected by reports with one, itself among them. @param whole `namespace/name` */
export function relatedNames(reports: readonly Report[], whole: string): ReadonlySet<string> {
  const found = new Set([whole]);
  const mirrorOf = ({ service, local }: Report) => `${service.slice(0, service.indexOf('/') + 1)}${local}`;
  // From a mirror to its Service, and from there to all mirrors of it.
  for (let step = 0; step < 2; step++)
    for (const report of reports) {
      const mirror = mirrorOf(report);
      if (!found.has(report.service) && !found.has(mirror)) continue;
      found.add(report.service).add(mirror);
    }
  return found;
}

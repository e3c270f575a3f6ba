/**
 * Circles of a graph of imports: who reaches whom and is reached by it. Pure; scripts/check-imports.ts asks.
 */

/** Nodes, and what each imports; targets that are no nodes are left out of account. */
export type Graph = ReadonlyMap<string, ReadonlySet<string>>;

/** Circles that are known, by name: they may lose members, and get none. */
export type KnownCircles = Readonly<Record<string, readonly string[]>>;

/** The strongly connected components of more than one node (Tarjan 1972), each and all sorted. */
export function circlesOf(graph: Graph): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const lower = (node: string, to: number) => low.set(node, Math.min(low.get(node) ?? to, to));
  const visit = (node: string): void => {
    index.set(node, index.size);
    lower(node, index.size - 1);
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!graph.has(next)) continue;
      if (!index.has(next)) {
        visit(next);
        lower(node, low.get(next) ?? 0);
      } else if (stack.includes(next)) {
        lower(node, index.get(next) ?? 0);
      }
    }
    if (low.get(node) !== index.get(node)) return;
    const circle = stack.splice(stack.indexOf(node));
    if (circle.length > 1) found.push(circle.toSorted());
  };
  for (const node of graph.keys()) if (!index.has(node)) visit(node);
  return found.toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1));
}

/** The shortest way from a node of a circle back to itself, with the node at both ends. */
export function wayAround(graph: Graph, start: string): string[] {
  const from = new Map<string, string>();
  const queue = [start];
  for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
    for (const next of graph.get(node) ?? []) {
      if (next === start) {
        const way = [start];
        for (let at: string | undefined = node; at !== undefined && at !== start; at = from.get(at))
          way.unshift(at);
        return [start, ...way];
      }
      if (from.has(next) || !graph.has(next)) continue;
      from.set(next, node);
      queue.push(next);
    }
  }
  return [];
}

/**
 * What has to be done, one line each: circles that are not within a known one, and members of known ones that
 * are in no circle any more (so that nobody can put them back).
 */
export function circleViolations(what: string, graph: Graph, known: KnownCircles): string[] {
  const circles = circlesOf(graph);
  const found = circles.flatMap((circle) => {
    const outside = Object.values(known)
      .map((members) => circle.filter((node) => !members.includes(node)))
      .reduce((least, rest) => (rest.length < least.length ? rest : least), circle);
    const [first] = outside;
    if (first === undefined) return [];
    return [`new circle of ${what}: ${wayAround(graph, first).join(' → ')}`];
  });
  for (const [name, members] of Object.entries(known))
    for (const member of members)
      if (!circles.some((circle) => circle.includes(member)))
        found.push(`${member} is in no circle of ${what} any more: take it out of "${name}"`);
  return found;
}

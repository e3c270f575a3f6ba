/**
 * Where clusters and links stand on the map: layers from left to right, by the direction of links. Clusters
 * that are linked both ways stand side by side with a line each way. Pure; pixels.
 */

export interface LayoutNode {
  readonly key: string;
  /** Default `NODE.height`. */
  readonly height?: number;
}

export interface LayoutEdge {
  readonly key: string;
  readonly source: string;
  readonly target: string;
}

export interface PlacedNode {
  readonly key: string;
  readonly x: number;
  readonly y: number;
}

export interface PlacedEdge {
  readonly key: string;
  /** The `d` of an SVG path. */
  readonly path: string;
  /** Where its words stand, in their middle. */
  readonly at: { readonly x: number; readonly y: number };
  /** Where it arrives, and from which side: 1 from the left, -1 from the right. */
  readonly tip: { readonly x: number; readonly y: number; readonly towards: -1 | 1 };
}

export interface MapLayout {
  readonly width: number;
  readonly height: number;
  readonly nodes: readonly PlacedNode[];
  readonly edges: readonly PlacedEdge[];
}

/** Sizes of what is drawn. */
export const NODE = { width: 256, height: 96 } as const;
const COLUMN_GAP = 264;
const ROW_GAP = 28;
const MARGIN = 16;
/** A link that passes a layer takes so much height there. */
const PASS_HEIGHT = 28;
const SWEEPS = 6;

/** A node, or the place where a link passes a layer. */
interface Spot {
  readonly key: string;
  readonly layer: number;
  readonly height: number;
  y: number;
}

/** Places them. What an edge names and is not among the nodes is left out. */
export function layoutMap(nodes: readonly LayoutNode[], edges: readonly LayoutEdge[]): MapLayout {
  const known = new Set(nodes.map(({ key }) => key));
  const drawn = edges.filter(
    ({ source, target }) => source !== target && known.has(source) && known.has(target),
  );
  const layers = layersOf(
    nodes.map(({ key }) => key),
    drawn,
  );
  const spots = new Map<string, Spot>();
  for (const { key, height = NODE.height } of nodes)
    spots.set(key, { key, layer: layers.get(key) ?? 0, height, y: 0 });
  const chains = new Map(drawn.map((edge) => [edge.key, chainOf(edge, layers, spots)] as const));
  const columns = columnsOf([...spots.values()], [...chains.values()]);
  const height = placeColumns(columns);
  const x = (layer: number) => MARGIN + layer * (NODE.width + COLUMN_GAP);
  const placed = nodes.map(({ key }) => ({
    key,
    x: x(layers.get(key) ?? 0),
    y: spots.get(key)?.y ?? 0,
  }));
  return {
    width: x(columns.length - 1) + NODE.width + MARGIN,
    height,
    nodes: placed,
    edges: linesOf(drawn, chains, spots, x),
  };
}

/** The longest way from where nothing leads to; links that would lead back are taken for their opposites. */
function layersOf(keys: readonly string[], edges: readonly LayoutEdge[]): Map<string, number> {
  const forward = withoutCircles(keys, edges);
  const layers = new Map(keys.map((key) => [key, 0]));
  // As many rounds as there can be layers: each settles one more.
  for (let round = 0; round < keys.length; round++) {
    let isSettled = true;
    for (const [source, target] of forward) {
      const least = (layers.get(source) ?? 0) + 1;
      if ((layers.get(target) ?? 0) >= least) continue;
      layers.set(target, least);
      isSettled = false;
    }
    if (isSettled) break;
  }
  return layers;
}

/** Links as pairs that have no circles, from those that lead to most. */
function withoutCircles(keys: readonly string[], edges: readonly LayoutEdge[]): [string, string][] {
  const out = Map.groupBy(edges, ({ source }) => source);
  const into = Map.groupBy(edges, ({ target }) => target);
  const lead = (key: string) => (out.get(key)?.length ?? 0) - (into.get(key)?.length ?? 0);
  const order = keys.toSorted((a, b) => lead(b) - lead(a) || (a < b ? -1 : 1));
  const rank = new Map<string, number>();
  const visit = (key: string) => {
    const open = [key];
    for (let next = open.shift(); next !== undefined; next = open.shift()) {
      if (rank.has(next)) continue;
      rank.set(next, rank.size);
      open.push(...(out.get(next) ?? []).map(({ target }) => target));
    }
  };
  for (const key of order) visit(key);
  return edges.map(({ source, target }) =>
    (rank.get(source) ?? 0) < (rank.get(target) ?? 0) ? [source, target] : [target, source],
  );
}

/** Ends of a link, and the spots where it passes layers between them, from left to right. */
function chainOf(
  { key, source, target }: LayoutEdge,
  layers: ReadonlyMap<string, number>,
  spots: Map<string, Spot>,
): readonly string[] {
  const layer = (of: string) => layers.get(of) ?? 0;
  const [left, right] = layer(source) < layer(target) ? [source, target] : [target, source];
  const between: string[] = [];
  for (let at = layer(left) + 1; at < layer(right); at++) {
    const pass = `${key}\n${at}`;
    spots.set(pass, { key: pass, layer: at, height: PASS_HEIGHT, y: 0 });
    between.push(pass);
  }
  return [left, ...between, right];
}

/** Spots by layer, in an order in which few lines cross: each goes to the middle of its neighbours. */
function columnsOf(spots: readonly Spot[], chains: readonly (readonly string[])[]): Spot[][] {
  const beside = new Map<string, string[]>();
  for (const chain of chains)
    for (const [at, key] of chain.entries()) {
      const near = [chain[at - 1], chain[at + 1]].filter((one) => one !== undefined);
      beside.set(key, [...(beside.get(key) ?? []), ...near]);
    }
  const count = Math.max(0, ...spots.map(({ layer }) => layer)) + 1;
  const columns = Array.from({ length: count }, (_, layer) =>
    spots.filter((spot) => spot.layer === layer).sort((a, b) => (a.key < b.key ? -1 : 1)),
  );
  const place = new Map<string, number>();
  const note = (column: readonly Spot[]) => {
    for (const [at, { key }] of column.entries()) place.set(key, (at + 0.5) / column.length);
  };
  for (const column of columns) note(column);
  for (let sweep = 0; sweep < SWEEPS; sweep++)
    for (const column of sweep % 2 === 0 ? columns : columns.toReversed()) {
      const middle = new Map(
        column.map(({ key }) => [key, mean((beside.get(key) ?? []).map((one) => place.get(one) ?? 0.5))]),
      );
      column.sort(
        (a, b) => (middle.get(a.key) ?? 0.5) - (middle.get(b.key) ?? 0.5) || (a.key < b.key ? -1 : 1),
      );
      note(column);
    }
  return columns;
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0.5 : values.reduce((sum, one) => sum + one, 0) / values.length;
}

/** Each column in the middle of the highest one. @returns the height of all */
function placeColumns(columns: readonly (readonly Spot[])[]): number {
  const heights = columns.map((column) =>
    column.reduce((sum, { height }) => sum + height + ROW_GAP, -ROW_GAP),
  );
  const most = Math.max(NODE.height, ...heights);
  for (const [at, column] of columns.entries()) {
    let y = MARGIN + (most - (heights[at] ?? 0)) / 2;
    for (const spot of column) {
      spot.y = y;
      y += spot.height + ROW_GAP;
    }
  }
  return most + 2 * MARGIN;
}

type Chains = ReadonlyMap<string, readonly string[]>;

/** Lines from side to side; those that share a side stand apart, in the order of their other ends. */
function linesOf(
  edges: readonly LayoutEdge[],
  chains: Chains,
  spots: ReadonlyMap<string, Spot>,
  x: (layer: number) => number,
): PlacedEdge[] {
  const ends = [...chains].flatMap(([edge, chain]) =>
    chain.slice(1).map((right, at) => ({ edge, left: chain[at] ?? '', right })),
  );
  const leaving = portsOf(ends, 'left', 'right', spots);
  const arriving = portsOf(ends, 'right', 'left', spots);
  return edges.map(({ key, source }) => {
    const chain = chains.get(key) ?? [];
    const points = chain.slice(1).flatMap((right, at) => {
      const left = chain[at] ?? '';
      const id = `${key}\n${left}\n${right}`;
      const from = { x: x(spots.get(left)?.layer ?? 0) + NODE.width, y: leaving.get(id) ?? 0 };
      const to = { x: x(spots.get(right)?.layer ?? 0), y: arriving.get(id) ?? 0 };
      return [from, to];
    });
    const isForward = chain[0] === source;
    const crowd = (of: string | undefined, end: 'left' | 'right') =>
      ends.filter((one) => one[end] === of).length;
    const towards = crowd(chain[0], 'left') > crowd(chain.at(-1), 'right') ? 0.72 : 0.5;
    const [from, to] = towards === 0.5 ? points : points.slice(-2);
    const end = (isForward ? points.at(-1) : points[0]) ?? { x: 0, y: 0 };
    return {
      key,
      tip: { ...end, towards: isForward ? 1 : -1 },
      path: pathOf(isForward ? points : points.toReversed()),
      at: from === undefined || to === undefined ? { x: 0, y: 0 } : onCurve(from, to, towards),
    };
  });
}

interface Point {
  readonly x: number;
  readonly y: number;
}

interface Piece {
  readonly edge: string;
  readonly left: string;
  readonly right: string;
}

/** Heights at which lines touch a side. */
function portsOf(
  pieces: readonly Piece[],
  side: 'left' | 'right',
  other: 'left' | 'right',
  spots: ReadonlyMap<string, Spot>,
): Map<string, number> {
  const found = new Map<string, number>();
  for (const [key, own] of Map.groupBy(pieces, (piece) => piece[side])) {
    const spot = spots.get(key);
    if (spot === undefined) continue;
    const middle = (piece: Piece) => spots.get(piece[other])?.y ?? 0;
    const ordered = own.toSorted((a, b) => middle(a) - middle(b) || (a.edge < b.edge ? -1 : 1));
    const step = Math.min(40, (spot.height - 16) / Math.max(1, ordered.length - 1));
    const first = spot.y + spot.height / 2 - (step * (ordered.length - 1)) / 2;
    for (const [at, { edge, left, right }] of ordered.entries())
      found.set(`${edge}\n${left}\n${right}`, first + at * step);
  }
  return found;
}

/** Curves between points that come in pairs, straight lines from pair to pair. */
function pathOf(points: readonly Point[]): string {
  return points
    .map(({ x, y }, at) => {
      const before = points[at - 1];
      if (before === undefined) return `M${round(x)} ${round(y)}`;
      if (at % 2 === 0) return `L${round(x)} ${round(y)}`;
      const bend = (x - before.x) / 2;
      return `C${round(before.x + bend)} ${round(before.y)} ${round(x - bend)} ${round(y)} ${round(x)} ${round(y)}`;
    })
    .join('');
}

/** A point of such a curve. @param t 0 to 1 */
function onCurve(from: Point, to: Point, t: number): Point {
  const bend = (to.x - from.x) / 2;
  const at = (a: number, b: number, c: number, d: number) =>
    (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t ** 2 * c + t ** 3 * d;
  return {
    x: round(at(from.x, from.x + bend, to.x - bend, to.x)),
    y: round(at(from.y, from.y, to.y, to.y)),
  };
}

const round = (value: number) => Math.round(value * 10) / 10;

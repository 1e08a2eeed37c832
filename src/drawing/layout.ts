// Where the parts of a cell's drawing go: a layered graph from left to right with few crossings.

import { RandomStream } from "../base/random.js";
import type { CellSketch, SketchedConnection } from "../space/sketch.js";

/** Sizes in user units of the SVG. */
export const metrics = {
  pillWidth: 124,
  pillHeight: 24,
  /** Between the pills of a node. */
  pillGap: 8,
  /** From the pills to the circle that joins them. */
  joinWidth: 34,
  nodeRadius: 15,
  terminalWidth: 62,
  terminalHeight: 32,
  columnGap: 76,
  rowGap: 26,
  laneHeight: 6,
} as const;

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** An operation in front of its node, with the course of the line from its predecessor. */
export interface DrawnConnection extends SketchedConnection {
  /** Left end of the pill. */
  readonly pill: Point;
  /** Where the line goes: out of the predecessor, then in and out of every column it passes, then into the pill. */
  readonly course: readonly Point[];
}

export interface DrawnNode {
  readonly label: string;
  readonly centre: Point;
  readonly connections: readonly DrawnConnection[];
  /** From the node to the output, where it is a part of it. */
  readonly outputCourse: readonly Point[] | null;
}

export interface DrawnCell {
  readonly width: number;
  readonly height: number;
  /** Centres of the inputs. */
  readonly inputs: readonly Point[];
  readonly nodes: readonly DrawnNode[];
  readonly output: Point;
}

/** Something in a column: an input, a node with its pills, a lane that a line passes through, or the output. */
interface Item {
  readonly kind: "terminal" | "node" | "lane";
  readonly column: number;
  readonly height: number;
  y: number;
}

/** A line between items of neighbouring columns; `shift` is from the centre of the right item to where the line enters. */
interface Link {
  readonly from: Item;
  readonly to: Item;
  shift: number;
}

/** All that the search for a good arrangement changes: the order in each column, and the order of the pills of a node. */
interface Graph {
  readonly columns: Item[][];
  readonly inputs: readonly Item[];
  readonly nodes: readonly Item[];
  readonly output: Item;
  readonly links: Link[];
  /** Items from the predecessor to the node, for each connection of each node, and from each node to the output. */
  readonly chains: { readonly connections: Item[][][]; readonly outputs: (Item[] | null)[] };
  /** The links into the pills of each node. */
  readonly pillLinks: Link[][];
}

const nodeHeight = (pills: number): number =>
  Math.max(2 * metrics.nodeRadius, pills * (metrics.pillHeight + metrics.pillGap) - metrics.pillGap);

/** From the centre of a node with so many pills to the centre of one of them. */
const pillShift = (position: number, pills: number): number =>
  (position - (pills - 1) / 2) * (metrics.pillHeight + metrics.pillGap);

function buildGraph({ inputs, nodes, outputFrom }: CellSketch): Graph {
  const depth = inputs.map(() => 0);
  for (const { connections } of nodes)
    depth.push(1 + Math.max(0, ...connections.map(({ from }) => depth[from])));
  const last = Math.max(...depth) + 1;
  const columns: Item[][] = Array.from({ length: last + 1 }, () => []);
  const links: Link[] = [];
  const place = (kind: Item["kind"], column: number, height: number): Item => {
    const item: Item = { kind, column, height, y: 0 };
    columns[column].push(item);
    return item;
  };
  const items = depth.map((column, index) =>
    index < inputs.length
      ? place("terminal", column, metrics.terminalHeight)
      : place("node", column, nodeHeight(nodes[index - inputs.length].connections.length)),
  );
  const output = place("terminal", last, metrics.terminalHeight);
  const route = (from: Item, to: Item, shift: number): Item[] => {
    const chain = [from];
    for (let column = from.column + 1; column < to.column; column++)
      chain.push(place("lane", column, metrics.laneHeight));
    chain.push(to);
    for (let i = 1; i < chain.length; i++)
      links.push({ from: chain[i - 1], to: chain[i], shift: chain[i] === to ? shift : 0 });
    return chain;
  };
  const connections: Item[][][] = [];
  const outputs: (Item[] | null)[] = [];
  const pillLinks: Link[][] = [];
  for (const [number, node] of nodes.entries()) {
    const index = inputs.length + number;
    const entries: Link[] = [];
    connections.push(
      node.connections.map(({ from }, position) => {
        const chain = route(items[from], items[index], pillShift(position, node.connections.length));
        entries.push(links[links.length - 1]);
        return chain;
      }),
    );
    pillLinks.push(entries);
    outputs.push(outputFrom.includes(index) ? route(items[index], output, 0) : null);
  }
  return {
    columns,
    inputs: items.slice(0, inputs.length),
    nodes: items.slice(inputs.length),
    output,
    links,
    chains: { connections, outputs },
    pillLinks,
  };
}

/** Least-squares heights for a column in its order: as near as may be to what is wanted, but far enough from each other (isotonic regression). */
function settle(column: readonly Item[], wanted: readonly number[]): void {
  const offsets: number[] = [];
  for (const [index, item] of column.entries())
    offsets.push(
      index === 0 ? 0 : offsets[index - 1] + (column[index - 1].height + item.height) / 2 + metrics.rowGap,
    );
  const blocks: { sum: number; count: number }[] = [];
  for (const [index, y] of wanted.entries()) {
    blocks.push({ sum: y - offsets[index], count: 1 });
    const mean = (back: number): number => {
      const block = blocks[blocks.length - back];
      return block.sum / block.count;
    };
    while (blocks.length > 1 && mean(2) > mean(1)) {
      const { sum, count } = blocks.pop()!;
      blocks[blocks.length - 1].sum += sum;
      blocks[blocks.length - 1].count += count;
    }
  }
  let index = 0;
  for (const { sum, count } of blocks)
    for (let i = 0; i < count; i++, index++) column[index].y = sum / count + offsets[index];
}

/** Moves everything towards its neighbours, sweeping to and fro. */
function relax(graph: Graph, sweeps: number): void {
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const order = sweep % 2 === 0 ? graph.columns : [...graph.columns].reverse();
    for (const column of order) {
      const wanted = column.map((item) => {
        let [sum, count] = [0, 0];
        for (const { from, to, shift } of graph.links) {
          // A lane that is bent shows more than a line that leaves a node at a slant.
          const weight = from.kind === "lane" || to.kind === "lane" ? 3 : 1;
          if (to === item) [sum, count] = [sum + weight * (from.y - shift), count + weight];
          else if (from === item) [sum, count] = [sum + weight * (to.y + shift), count + weight];
        }
        return count === 0 ? item.y : sum / count;
      });
      settle(column, wanted);
    }
  }
}

/** Crossings weigh most, then the slant of lines. */
function cost(graph: Graph): number {
  relax(graph, 6);
  let total = 0;
  const { links } = graph;
  for (let i = 0; i < links.length; i++) {
    const a = links[i];
    total += (a.to.y + a.shift - a.from.y) ** 2 / 4000;
    for (let j = 0; j < i; j++) {
      const b = links[j];
      if (a.from.column !== b.from.column) continue;
      const before = a.from.y - b.from.y;
      const after = a.to.y + a.shift - (b.to.y + b.shift);
      if (before * after < 0) total += 10;
    }
  }
  return total;
}

/** Descends by swaps of neighbours in a column and of the pills of a node, from several starts; always the same for the same cell. */
function arrange(graph: Graph): void {
  const stream = RandomStream.named(0, "drawing");
  const snapshot = () => ({
    columns: graph.columns.map((column) => [...column]),
    shifts: graph.links.map(({ shift }) => shift),
  });
  const restore = ({ columns, shifts }: ReturnType<typeof snapshot>): void => {
    for (const [index, column] of columns.entries()) graph.columns[index] = [...column];
    for (const [index, shift] of shifts.entries()) graph.links[index].shift = shift;
  };
  const swapPills = (first: Link, second: Link): void => {
    [first.shift, second.shift] = [second.shift, first.shift];
  };
  const swapItems = (column: Item[], index: number): void => {
    [column[index], column[index + 1]] = [column[index + 1], column[index]];
  };
  const moves = (): (() => void)[] => [
    ...graph.columns.flatMap((column) => column.slice(1).map((_, index) => () => swapItems(column, index))),
    ...graph.pillLinks.flatMap((links) =>
      links.flatMap((second, index) => links.slice(0, index).map((first) => () => swapPills(first, second))),
    ),
  ];
  let best = { cost: Infinity, state: snapshot() };
  for (let start = 0; start < 12; start++) {
    if (start > 0) for (const column of graph.columns) stream.shuffle(column);
    let current = cost(graph);
    for (let improved = true; improved; ) {
      improved = false;
      for (const move of moves()) {
        move();
        const next = cost(graph);
        if (next < current - 1e-9) {
          current = next;
          improved = true;
        } else {
          move();
        }
      }
    }
    if (current < best.cost) best = { cost: current, state: snapshot() };
  }
  restore(best.state);
  relax(graph, 60);
}

/** Lays one cell out. */
export function layoutCell(sketch: CellSketch): DrawnCell {
  const graph = buildGraph(sketch);
  arrange(graph);
  const items = graph.columns.flat();
  const top = Math.min(...items.map(({ y, height }) => y - height / 2));
  const bottom = Math.max(...items.map(({ y, height }) => y + height / 2));
  const nodeWidth = metrics.pillWidth + metrics.joinWidth + 2 * metrics.nodeRadius;
  const widths = graph.columns.map((_, index) =>
    index === 0 || index === graph.columns.length - 1 ? metrics.terminalWidth : nodeWidth,
  );
  const lefts = widths.map((_, index) =>
    widths.slice(0, index).reduce((sum, width) => sum + width + metrics.columnGap, 0),
  );
  const y = (item: Item, shift = 0): number => item.y + shift - top;
  const left = (item: Item, shift = 0): Point => ({ x: lefts[item.column], y: y(item, shift) });
  const right = (item: Item): Point => ({ x: lefts[item.column] + widths[item.column], y: y(item) });
  const course = (chain: readonly Item[], shift: number): Point[] => [
    right(chain[0]),
    ...chain.slice(1, -1).flatMap((lane) => [left(lane), right(lane)]),
    left(chain[chain.length - 1], shift),
  ];
  const centre = (item: Item): Point => ({ x: lefts[item.column] + widths[item.column] / 2, y: y(item) });
  const nodes = graph.chains.outputs.map((outputChain, node): DrawnNode => {
    const item = graph.nodes[node];
    return {
      label: sketch.nodes[node].label,
      centre: { x: right(item).x - metrics.nodeRadius, y: y(item) },
      outputCourse: outputChain === null ? null : course(outputChain, 0),
      connections: graph.chains.connections[node].map((chain, position) => {
        const { shift } = graph.pillLinks[node][position];
        const connection = sketch.nodes[node].connections[position];
        return { ...connection, pill: left(item, shift), course: course(chain, shift) };
      }),
    };
  });
  return {
    width: lefts[lefts.length - 1] + widths[widths.length - 1],
    height: bottom - top,
    inputs: graph.inputs.map(centre),
    nodes,
    output: centre(graph.output),
  };
}

// What each node of a search keeps, epoch by epoch, as a picture: strips of the operations' colours.
import { operationLook } from "../space/operation.js";
import type { Candidate } from "../space/space.js";
import { escapeXml } from "./cells.js";
import { figureSvg, margin, round, ticksOver } from "./figure.js";

/** One node over the epochs. */
export interface NodeCourse {
  /** Such as "normal node 2". */
  readonly name: string;
  /** Nodes of one group stand together. */
  readonly group: string;
  /** What it keeps after each epoch; as many for all nodes. */
  readonly kept: readonly (readonly Candidate[])[];
  /** Number of the first epoch in which it was frozen; null where it never is. */
  readonly frozenFrom: number | null;
}

const left = margin + 128;
const plotWidth = 560;
const stripHeight = 13;
const top = margin + 76;
const groupGap = 22;
const nodeGap = 7;

interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly candidate: Candidate | undefined;
}

const same = (a: Candidate | undefined, b: Candidate | undefined): boolean =>
  a?.operation === b?.operation && a?.predecessor === b?.predecessor;

/** Epochs in which a place of a node keeps the same candidate, put together. */
function stretches(candidates: readonly (Candidate | undefined)[]): Stretch[] {
  const found: Stretch[] = [];
  for (const [epoch, candidate] of candidates.entries()) {
    const before = found.at(-1);
    if (before !== undefined && same(before.candidate, candidate))
      found[found.length - 1] = { ...before, end: epoch + 1 };
    else found.push({ start: epoch, end: epoch + 1, candidate });
  }
  return found;
}

/** The k-th place of a node: a candidate stays in its place for as long as it is kept. */
function places({ kept }: NodeCourse): (Candidate | undefined)[][] {
  const count = Math.max(...kept.map((candidates) => candidates.length));
  const found: (Candidate | undefined)[][] = Array.from({ length: count }, () => []);
  let before: (Candidate | undefined)[] = Array(count).fill(undefined);
  for (const candidates of kept) {
    const rest = [...candidates];
    const now = before.map((candidate) => {
      const index = rest.findIndex((one) => same(one, candidate));
      return index < 0 ? undefined : rest.splice(index, 1)[0];
    });
    before = now.map((candidate) => candidate ?? rest.shift());
    for (const [place, candidate] of before.entries()) found[place].push(candidate);
  }
  return found;
}

function legend(operations: readonly string[]): { readonly parts: string[]; readonly height: number } {
  let [x, y] = [margin, margin + 52];
  const parts = operations.flatMap((operation) => {
    const { label, colour } = operationLook(operation);
    const width = 18 + label.length * 6.6 + 18;
    if (x + width > left + plotWidth + margin) [x, y] = [margin, y + 18];
    const place = x;
    x += width;
    return [
      `<rect x="${round(place)}" y="${y - 10}" width="12" height="12" rx="3" fill="${colour.fill}"/>`,
      `<text class="note" x="${round(place + 17)}" y="${y}">${escapeXml(label)}</text>`,
    ];
  });
  return { parts, height: y - (margin + 52) };
}

/**
 * @param nodes at least one, with at least one epoch
 * @param axis what is counted from left to right, such as "epoch"
 */
export function drawSupportsSvg(nodes: readonly NodeCourse[], title: string, axis: string): string {
  const epochs = nodes[0].kept.length;
  const operations = [...new Set(nodes.flatMap(({ kept }) => kept.flat().map(({ operation }) => operation)))];
  const key = legend(operations.sort());
  const parts = [...key.parts];
  const atX = (epoch: number): number => left + (plotWidth * epoch) / epochs;
  let y = top + key.height;
  let group: string | null = null;
  for (const node of nodes) {
    if (node.group !== group) {
      if (group !== null) y += groupGap - nodeGap;
      group = node.group;
    }
    const strips = places(node);
    const middle = y + (strips.length * stripHeight) / 2 + 4;
    parts.push(`<text class="end" x="${left - 12}" y="${round(middle)}">${escapeXml(node.name)}</text>`);
    for (const strip of strips) {
      for (const { start, end, candidate } of stretches(strip)) {
        if (candidate === undefined) continue;
        const { label, colour } = operationLook(candidate.operation);
        const [from, to] = [atX(start), atX(end)];
        // A gap where something changed, which is all that is seen of another predecessor.
        const width = Math.max(0.6, to - from - (epochs > 200 ? 0.4 : 1));
        parts.push(
          `<rect x="${round(from)}" y="${round(y)}" width="${round(width)}" height="${stripHeight - 2}" fill="${colour.fill}"><title>${escapeXml(`${node.name}, ${axis} ${start + 1} to ${end}: ${label} from ${candidate.predecessor}`)}</title></rect>`,
        );
        if (width > 16)
          parts.push(
            `<text x="${round(from + 4)}" y="${round(y + 9)}" style="font-size:9px;fill:${colour.ink}">${candidate.predecessor}</text>`,
          );
      }
      y += stripHeight;
    }
    if (node.frozenFrom !== null)
      parts.push(
        `<rect x="${round(atX(node.frozenFrom))}" y="${round(y - 1)}" width="${round(left + plotWidth - atX(node.frozenFrom))}" height="2" fill="#59636e"><title>frozen from ${axis} ${node.frozenFrom + 1} on</title></rect>`,
      );
    y += nodeGap;
  }
  const ticks = ticksOver(1, Math.max(2, epochs)).filter(
    (tick) => Number.isInteger(tick) && tick >= 1 && tick <= epochs,
  );
  for (const tick of ticks)
    parts.push(`<text class="note middle" x="${round(atX(tick - 0.5))}" y="${round(y + 14)}">${tick}</text>`);
  parts.push(
    `<text class="note middle" x="${round(left + plotWidth / 2)}" y="${round(y + 32)}">${escapeXml(axis)}</text>`,
  );
  const frozen = nodes.some(({ frozenFrom }) => frozenFrom !== null) ? "; a line below: frozen" : "";
  const note = `colour: operation · number: the node that it comes from · gap: something else from here on${frozen}`;
  return figureSvg({ width: left + plotWidth + margin, height: y + 32 + margin }, title, note, parts);
}

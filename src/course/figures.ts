// Figures of runs, from their records: curves over the epochs, and what each node of a search keeps.
import { drawConfusionSvg } from "../drawing/confusion.js";
import { type Curve, drawCurvesSvg, type Panel } from "../drawing/curves.js";
import { drawSupportsSvg, type NodeCourse } from "../drawing/supports.js";
import { resolveGenotype } from "../formats/genotype-resolve.js";
import type { RunDirectory } from "../run/directory.js";
import type { JsonObject } from "../run/records.js";
import { findSpace } from "../space/registry.js";
import type { Space } from "../space/space.js";
import { confusionFileName, confusionMatrix } from "./confusion.js";
import type { Evaluation } from "./evaluate.js";

/** Drawings of every run in its directory. */
export const curvesFileName = "curves.svg";
export const supportsFileName = "search.svg";

/** Runs that differ in the seed alone: drawn as their mean and a band from the lowest to the highest. */
export interface FigureGroup {
  readonly name: string;
  readonly runs: readonly (readonly JsonObject[])[];
}

interface Quantity {
  readonly key: string;
  readonly name: string;
  readonly dashed: boolean;
}

const quantities: readonly { readonly title: string; readonly scale: number; readonly curves: Quantity[] }[] =
  [
    {
      title: "Loss (nats)",
      scale: 1,
      curves: [
        { key: "loss", name: "training", dashed: true },
        { key: "validationLoss", name: "held out", dashed: false },
      ],
    },
    {
      title: "Accuracy (%)",
      scale: 100,
      curves: [
        { key: "accuracy", name: "training", dashed: true },
        { key: "validationAccuracy", name: "held out", dashed: false },
      ],
    },
    { title: "Learning rate", scale: 1, curves: [{ key: "learningRate", name: "", dashed: false }] },
    { title: "Speed (images/s)", scale: 1, curves: [{ key: "imagesPerSecond", name: "", dashed: false }] },
  ];

interface Value {
  readonly x: number;
  readonly y: number;
}

/** Finite values of a key, by epoch from 1. */
function valuesOf(records: readonly JsonObject[], key: string, scale: number): Value[] {
  return records.flatMap((record) => {
    const [epoch, value] = [record.epoch, record[key]];
    return typeof epoch === "number" && typeof value === "number" && Number.isFinite(value)
      ? [{ x: epoch + 1, y: scale * value }]
      : [];
  });
}

/** Each trial trains a network of its own: no line leads from one to the next. */
const isTrial = (record: JsonObject): boolean => typeof record.round === "number";

function curveOf(
  runs: readonly (readonly JsonObject[])[],
  { key, name, dashed }: Quantity,
  scale: number,
): Omit<Curve, "name" | "colour"> & { name: string } {
  const dots = runs.some((records) => records.some(isTrial));
  if (runs.length === 1) return { name, dashed, dots, points: valuesOf(runs[0], key, scale), band: null };
  const byEpoch = new Map<number, number[]>();
  for (const records of runs)
    for (const { x, y } of valuesOf(records, key, scale)) byEpoch.set(x, [...(byEpoch.get(x) ?? []), y]);
  const epochs = [...byEpoch].sort(([a], [b]) => a - b);
  return {
    name,
    dashed,
    dots: false,
    points: epochs.map(([x, ys]) => ({ x, y: ys.reduce((sum, y) => sum + y, 0) / ys.length })),
    band: epochs.map(([x, ys]) => ({ x, low: Math.min(...ys), high: Math.max(...ys) })),
  };
}

/** What one unit from left to right is. */
const axisOf = (records: readonly JsonObject[]): string => (records.some(isTrial) ? "trial" : "epoch");

/**
 * Loss, accuracy, learning rate and speed over the epochs of one or several groups of runs; null where there is no record yet.
 */
export function drawCurves(groups: readonly FigureGroup[], title: string): string | null {
  const several = groups.length > 1;
  const panels = quantities.flatMap(({ title: quantity, scale, curves }): Panel[] => {
    const drawn = groups.flatMap(({ name: group, runs }, index) =>
      curves.map((one, place): Curve => {
        const curve = curveOf(runs, one, scale);
        const seeds = runs.length > 1 ? ` (${runs.length} runs)` : "";
        const name = [several ? group : "", curve.name].filter((word) => word !== "").join(", ");
        // With several runs a colour is a run's, with one a quantity's.
        return { ...curve, name: `${name || group}${seeds}`, colour: several ? index : place };
      }),
    );
    const some = drawn.filter(({ points }) => points.length > 0);
    return some.length === 0 ? [] : [{ title: quantity, curves: some }];
  });
  if (panels.length === 0) return null;
  const all = groups.flatMap(({ runs }) => runs.flat());
  const banded = groups.some(({ runs }) => runs.length > 1);
  const note = [
    `${groups.reduce((sum, { runs }) => sum + runs.length, 0) > 1 ? "runs" : "a run"} over ${axisOf(all)}s`,
    ...(banded ? ["curve: mean over seeds", "band: lowest to highest"] : []),
  ].join(" · ");
  return drawCurvesSvg(panels, title, note, axisOf(all));
}

interface ChoiceRecord {
  readonly choice: string;
  readonly support: readonly number[];
  readonly frozen?: boolean;
}

/** What the choices keep after an epoch: in a search by trials those of its answer, whatever network was tried. */
function selectionOf(record: JsonObject, space: Space): readonly (readonly number[])[] | null {
  if (record.answer !== undefined) return resolveGenotype(JSON.stringify(record.answer), space).selection;
  if (!Array.isArray(record.choices) || record.choices.length !== space.choices.length) return null;
  return (record.choices as ChoiceRecord[]).map(({ support }) => support);
}

/** What each node keeps after each epoch; null where no epoch has said. @throws IstaError GENOTYPE_INVALID */
export function drawSupports(records: readonly JsonObject[], space: Space, title: string): string | null {
  const epochs = records.flatMap((record) => {
    const selection = selectionOf(record, space);
    return selection === null ? [] : [{ record, selection }];
  });
  if (epochs.length === 0) return null;
  const nodes = space.choices.map(({ name, group, candidates }, index): NodeCourse => {
    const frozenFrom = epochs.findIndex(
      ({ record }) => (record.choices as ChoiceRecord[] | undefined)?.[index]?.frozen === true,
    );
    return {
      name,
      group,
      kept: epochs.map(({ selection }) => selection[index].map((kept) => candidates[kept])),
      frozenFrom: frozenFrom < 0 ? null : frozenFrom,
    };
  });
  return drawSupportsSvg(nodes, title, axisOf(records));
}

/** What there is to draw of one run, by file name: nothing before its first epoch. @throws IstaError RUN_DAMAGED, CONFIG_* */
export function figuresOf(run: RunDirectory): ReadonlyMap<string, string> {
  const { kind } = run.meta;
  const records = run.records();
  const curves = drawCurves([{ name: run.name, runs: [records] }], run.name);
  const space = findSpace(run.config(kind).space);
  const supports = kind === "search" ? drawSupports(records, space, run.name) : null;
  const figures = [[curvesFileName, curves] as const, [supportsFileName, supports] as const];
  return new Map(figures.flatMap(([name, svg]) => (svg === null ? [] : [[name, svg] as const])));
}

/** Draws which class was taken for which; nothing without test images, or of too many classes. @throws IstaError FILE_*, RUN_GONE */
export function writeConfusion(
  run: RunDirectory,
  found: Evaluation | null,
  classes: readonly string[],
): void {
  const matrix = found === null ? null : confusionMatrix(found);
  if (matrix !== null) run.writeFile(confusionFileName, drawConfusionSvg(matrix, classes, run.name));
}

/** Draws a run into its directory. @throws IstaError FILE_*, RUN_GONE */
export function writeFigures(run: RunDirectory): void {
  for (const [name, svg] of figuresOf(run)) run.writeFile(name, svg);
}

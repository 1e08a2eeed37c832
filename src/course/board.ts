// What TensorBoard shows of a run, and the rows of its steps: everything comes from what is recorded anyway.
import type { ConfigOf, RunKind } from "../config/config.js";
import { drawSvg } from "../drawing/cells.js";
import { resolveGenotype } from "../formats/genotype-resolve.js";
import { encodeHeader, encodeStep, type HyperParameter, type Shown } from "../formats/tensorboard.js";
import type { RunDirectory } from "../run/directory.js";
import { eventsFileName, stepsFileName } from "../run/growing-files.js";
import type { JsonObject } from "../run/records.js";

/** Means over the steps since the last row. */
export interface StepRow {
  readonly epoch: number;
  /** Steps taken since the run began. */
  readonly step: number;
  readonly loss: number;
  /** 0..1. */
  readonly accuracy: number;
  /** Of the epoch. */
  readonly learningRate: number;
}

interface ChoiceRecord {
  readonly choice: string;
  readonly compressedCode?: readonly number[];
  readonly weights?: readonly number[];
  readonly residual?: number;
}

/** Figures of a record that say where it is. */
const places = ["epoch", "epochs", "steps", "round"];

/** In a search by trials the architecture of a record is that of the trial; the answer is beside it. */
function genotypeOf({ answer, genotype }: JsonObject): string | null {
  const found = answer ?? genotype;
  return found === undefined ? null : JSON.stringify(found);
}

const now = (): number => Date.now() / 1000;

/** Scalars and histograms of a record of an epoch. */
export function shownOf(record: JsonObject): Shown[] {
  const scalar = (tag: string, value: unknown): Shown[] =>
    typeof value === "number" && Number.isFinite(value) ? [{ kind: "scalar", tag, value }] : [];
  const histogram = (tag: string, values: readonly number[] | undefined): Shown[] =>
    values === undefined ? [] : [{ kind: "histogram", tag, values }];
  const known = (record.knownAccuracies ?? {}) as Readonly<Record<string, unknown>>;
  const choices = (record.choices ?? []) as readonly ChoiceRecord[];
  return [
    ...Object.entries(record).flatMap(([key, value]) =>
      places.includes(key) ? [] : scalar(`epoch/${key}`, value),
    ),
    ...Object.entries(known).flatMap(([key, value]) => scalar(`known/${key}`, value)),
    ...choices.flatMap(({ choice, compressedCode, weights, residual }) => [
      ...scalar(`residual/${choice}`, residual),
      ...histogram(`code b/${choice}`, compressedCode),
      ...histogram(`weights w/${choice}`, weights),
    ]),
  ];
}

/** Pixels: legible, and small enough for hundreds of them. */
const pictureWidth = 700;

async function pictureOf(genotype: string): Promise<Shown> {
  // Loaded only where there is something to draw.
  const { default: sharp } = await import("sharp");
  const { data, info } = await sharp(Buffer.from(drawSvg(resolveGenotype(genotype), {})))
    .resize({ width: pictureWidth, withoutEnlargement: true })
    .png({ palette: true, colours: 32, compressionLevel: 9 })
    .toBuffer({ resolveWithObject: true });
  return { kind: "image", tag: "cells", width: info.width, height: info.height, png: data };
}

/** Writes into the growing files of a run. */
export class Board {
  /** The architecture that was shown last. */
  private shownGenotype: string | null = null;

  constructor(private readonly run: RunDirectory) {}

  /**
   * To be called before the first step, also of a run that goes on: what is there already is not written again.
   * @param given the genotype that a training is given; null for a search
   */
  async begin(config: ConfigOf[RunKind], given: unknown): Promise<void> {
    const first = given === null ? null : JSON.stringify(given);
    if (this.run.hasGrown(eventsFileName)) {
      this.shownGenotype = genotypeOf(this.run.records().at(-1) ?? {}) ?? first;
      return;
    }
    const values = Object.fromEntries(
      Object.entries(config).filter((entry): entry is [string, HyperParameter] =>
        ["number", "string", "boolean"].includes(typeof entry[1]),
      ),
    );
    this.run.grow(eventsFileName, encodeHeader(now()));
    const shown: Shown[] = [{ kind: "hyper-parameters", values }];
    this.write(0, [...shown, ...(await this.changed(first))]);
  }

  step(row: StepRow): void {
    this.run.grow(stepsFileName, Buffer.from(`${JSON.stringify(row)}\n`));
    const scalar = (key: "loss" | "accuracy" | "learningRate"): Shown => {
      return { kind: "scalar", tag: `step/${key}`, value: row[key] };
    };
    this.write(row.step, [scalar("loss"), scalar("accuracy"), scalar("learningRate")]);
  }

  /** @param step how many steps were taken until the end of the epoch */
  async epoch(step: number, record: JsonObject): Promise<void> {
    this.write(step, [...shownOf(record), ...(await this.changed(genotypeOf(record)))]);
  }

  /** Text and picture of an architecture that was not shown yet. */
  private async changed(genotype: string | null): Promise<Shown[]> {
    if (genotype === null || genotype === this.shownGenotype) return [];
    this.shownGenotype = genotype;
    const text = `\`\`\`\n${genotype}\n\`\`\``;
    return [{ kind: "text", tag: "genotype", text }, await pictureOf(genotype)];
  }

  private write(step: number, shown: readonly Shown[]): void {
    this.run.grow(eventsFileName, encodeStep(now(), step, shown));
  }
}

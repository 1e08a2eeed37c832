import { type Command, Option } from "commander";
import { IstaError } from "../base/errors.js";
import { type Column, formatTable } from "../base/format.js";
import { printable } from "../base/terminal.js";
import { drawSvg, drawText } from "../drawing/cells.js";
import { checkDrawingPath, writeDrawing } from "../drawing/picture-file.js";
import { AccuracyTable } from "../formats/accuracy-table.js";
import { formatGenotypeJson } from "../formats/genotype-json.js";
import type { FoundArchitecture } from "../run/architecture.js";
import { countNetwork, type NetworkCounts, type Size } from "../space/counts.js";
import { allSpaces } from "../space/registry.js";
import {
  type Architecture,
  candidateName,
  evaluationNetwork,
  genotypeOf,
  type NetworkShape,
  sameSelection,
} from "../space/space.js";
import { registerRandom } from "./arch-random.js";
import { cellsArgument, findArchitecture } from "./find-architecture.js";
import { addExamples, printResult } from "./frame.js";
import { wholeNumber } from "./model-options.js";
import { addShapeOptions, shapeOf } from "./shape-options.js";

/** An architecture in the text form of its space. @param form the name of one that it must be */
export function formatOwnText({ space, selection }: Architecture, form?: string): string {
  const found = space.texts.find(({ name }) => form === undefined || name === form);
  if (found !== undefined) return found.format(selection);
  const known = space.texts.map(({ name }) => name).join(", ") || "none";
  throw new IstaError(
    "USAGE",
    `${space.name}: expected a text form of this space, got ${form ?? "text"}; it has ${known}`,
  );
}

const epochOption = (): Option =>
  new Option("--epoch <n>", "the cells after this epoch of a search, from 1").argParser(
    wholeNumber("--epoch", 1),
  );

export function registerArch(program: Command): void {
  const arch = program.command("arch").description("show, draw, count, compare and make cells");
  registerShow(arch);
  registerDraw(arch);
  registerParams(arch);

  const diff = arch.command("diff").description("what differs between the cells of two architectures");
  diff.argument("<a>", cellsArgument).argument("<b>", cellsArgument);
  diff.action((a: string, b: string) => {
    const difference = compareArchitectures(findArchitecture(a), findArchitecture(b));
    printResult(diff, difference, () => describeDifference(difference));
  });

  registerRandom(arch);

  const list = arch.command("list").description("the published architectures that have a name");
  list.action(() => {
    const rows = allSpaces().flatMap((space) =>
      Object.entries(space.named).map(([name, { description }]) => ({
        name,
        space: space.name,
        description,
      })),
    );
    printResult(list, rows, () =>
      formatTable(rows, [
        { title: "NAME", cell: (row) => row.name },
        { title: "SPACE", cell: (row) => row.space },
        { title: "WHERE IT COMES FROM", cell: (row) => row.description },
      ]),
    );
  });

  const spaces = arch.command("spaces").description("the search spaces");
  spaces.action(() => {
    const rows = allSpaces().map(({ name, description, choices }) => ({
      name,
      choices: choices.length,
      candidates: choices.reduce((sum, { candidates }) => sum + candidates.length, 0),
      kept: choices.reduce((sum, { kept }) => sum + kept, 0),
      description,
    }));
    printResult(spaces, rows, () =>
      formatTable(rows, [
        { title: "SPACE", cell: (row) => row.name },
        { title: "CHOICES", align: "right", cell: (row) => String(row.choices) },
        { title: "CANDIDATES", align: "right", cell: (row) => String(row.candidates) },
        { title: "KEPT", align: "right", cell: (row) => String(row.kept) },
        { title: "WHAT IT IS", cell: (row) => row.description },
      ]),
    );
  });

  addExamples(arch, [
    ["arch show ISTA_twostage", "both cells as text"],
    ["arch show runs/my-search --epoch 3 --format python", "the cells after epoch 3, for a PyTorch program"],
    [
      "arch show runs/my-search --table nas-bench-201.csv.gz",
      "the cells, and what a table of known accuracies says",
    ],
    ["arch draw runs/my-search --out cells.png", "a picture of them"],
    [
      "arch params ISTA_ImageNet --cells 14 --channels 48 --image-size 224 --classes 1000 --stem imagenet",
      "exact sizes",
    ],
    ["arch diff runs/my-search ISTA_twostage", "connections that differ"],
    ["arch random --seed 1 --out random-1.json", "random cells as a file"],
    ["arch random --seed 1 --like runs/my-search --cells 8 --channels 16", "of about the same mult-adds"],
  ]);
}

function registerShow(arch: Command): void {
  const show = arch.command("show").description("print the cells").argument("<cells>", cellsArgument);
  show
    .addOption(epochOption())
    .addOption(
      new Option("--format <form>", "how; `own` is the text form of the space")
        .choices(["text", "json", "python", "own"])
        .default("text"),
    )
    .option("--table <file>", "its accuracies in this table (CSV, may be gzipped)")
    .action((word: string) => {
      const { epoch, format, table } = show.opts<{ epoch?: number; format: string; table?: string }>();
      const found = findArchitecture(word, epoch);
      if (table !== undefined) {
        if (format !== "text")
          throw new IstaError(
            "USAGE",
            `--table: expected --format text, got ${format}, which has no place for accuracies`,
          );
        showKnown(show, found, AccuracyTable.read(table, found.space));
        return;
      }
      const texts: Record<string, () => string> = {
        text: () => `${printable(found.name)}\n\n${drawText(found)}`,
        json: () => formatGenotypeJson(found).trimEnd(),
        python: () => formatOwnText(found, "python"),
        own: () => formatOwnText(found),
      };
      printResult(show, genotypeOf(found), texts[format]);
    });
}

function showKnown(show: Command, found: FoundArchitecture, table: AccuracyTable): void {
  const knownAccuracies = table.lookup(found.selection);
  printResult(show, { genotype: genotypeOf(found), knownAccuracies }, () => {
    const rows: [string, string][] =
      knownAccuracies === null
        ? [["known accuracies", `not in ${table.path}`]]
        : Object.entries(knownAccuracies).map(([column, value]) => [column, `${value} %`]);
    const known = formatTable(rows, [
      { title: "", cell: ([name]) => name },
      { title: "", cell: ([, value]) => value },
    ]).trimStart();
    return `${printable(found.name)}\n\n${drawText(found)}\n\n${known}`;
  });
}

function registerDraw(arch: Command): void {
  const draw = arch
    .command("draw")
    .description("draw the cells to a file")
    .argument("<cells>", cellsArgument);
  draw
    .requiredOption("--out <file>", "the picture, ending in .svg or .png")
    .addOption(epochOption())
    .option("--title <text>", "a line above the cells [the name]")
    .action(async (word: string) => {
      const { out, epoch, title } = draw.opts<{ out: string; epoch?: number; title?: string }>();
      checkDrawingPath(out);
      const found = findArchitecture(word, epoch);
      await writeDrawing(out, drawSvg(found, { title: title ?? found.name }));
      printResult(draw, { name: found.name, file: out }, () => printable(out));
    });
}

interface ParamsOptions {
  auxiliary: boolean;
  poolBatchNorm?: boolean;
}

function registerParams(arch: Command): void {
  const params = arch
    .command("params")
    .description("exact numbers of parameters and mult-adds of a network with the cells")
    .argument("<cells>", cellsArgument);
  addShapeOptions(params)
    .option("--no-auxiliary", "leave the auxiliary head out of the table; it never counts in the total")
    .option("--pool-batch-norm", "batch norm after pooling and skip [as the architecture was searched]")
    .option("--no-pool-batch-norm");
  params.action((word: string) => {
    const { poolBatchNorm, auxiliary: wanted } = params.opts<ParamsOptions>();
    const found = findArchitecture(word);
    const { norms, name, space } = found;
    const normalised = poolBatchNorm ?? norms?.afterPool ?? false;
    // A head that the space does not have is none, unless it was asked for.
    const shape = { ...shapeOf(params, space), auxiliary: wanted && space.hasAuxiliaryHead };
    const placement = normalised ? space.norms.normalisedEvaluation : space.norms.plainEvaluation;
    const counts = countNetwork(evaluationNetwork(found, shape, placement));
    printResult(params, { name, shape, poolBatchNorm: normalised, ...counts }, () =>
      describeCounts(`${printable(name)}: ${describeShape(shape, normalised)}`, counts, shape),
    );
  });
}

const describeShape = (shape: NetworkShape, normalised: boolean): string =>
  `${shape.cells} cells, ${shape.channels} channels, ${shape.imageHeight} pixels, ${shape.classes} classes, ` +
  `${shape.stem} stem, ${normalised ? "batch norm after pool and skip" : "plain pool and skip"}`;

/** All digits: these are exact. */
const exact = (count: number): string => count.toLocaleString("en-US");

function describeCounts(title: string, counts: NetworkCounts, { auxiliary }: NetworkShape): string {
  type Row = Size & { part: string };
  const rows: Row[] = [
    { part: "stem", ...counts.stem },
    ...counts.cells.map(({ type, ...size }, index) => ({ part: `cell ${index}, ${type}`, ...size })),
    { part: "classifier", ...counts.classifier },
    { part: "total", params: counts.params, multAdds: counts.multAdds },
    ...(auxiliary ? [{ part: "auxiliary head (training only)", ...counts.auxiliary }] : []),
  ];
  const columns: Column<Row>[] = [
    { title: "PART", cell: (row) => row.part },
    { title: "PARAMETERS", align: "right", cell: (row) => exact(row.params) },
    { title: "MULT-ADDS", align: "right", cell: (row) => exact(row.multAdds) },
  ];
  return `${title}\n\n${formatTable(rows, columns)}`;
}

interface ChoiceDifference {
  choice: string;
  onlyInFirst: string[];
  onlyInSecond: string[];
}

interface ArchitectureDifference {
  same: boolean;
  /** Candidates that both keep, and how many each keeps. */
  common: number;
  kept: number;
  choices: ChoiceDifference[];
}

/** The order of the candidates of a choice makes no difference. */
function compareArchitectures(a: FoundArchitecture, b: FoundArchitecture): ArchitectureDifference {
  const { space } = a;
  if (b.space !== space)
    throw new IstaError(
      "USAGE",
      `arch diff: expected two architectures of one space, got one of ${space.name} and one of ${b.space.name}`,
    );
  const choices = space.choices.map(({ name, candidates }, index): ChoiceDifference => {
    const without = (from: readonly number[], other: readonly number[]): string[] =>
      from.filter((one) => !other.includes(one)).map((one) => candidateName(candidates[one]));
    const [first, second] = [a.selection[index], b.selection[index]];
    return { choice: name, onlyInFirst: without(first, second), onlyInSecond: without(second, first) };
  });
  const kept = a.selection.flat().length;
  const different = choices.reduce((sum, { onlyInFirst }) => sum + onlyInFirst.length, 0);
  return {
    same: sameSelection(a.selection, b.selection),
    common: kept - different,
    kept,
    choices: choices.filter(({ onlyInFirst }) => onlyInFirst.length > 0),
  };
}

function describeDifference({ same, common, kept, choices }: ArchitectureDifference): string {
  if (same) return "the same cells";
  const lines = choices.flatMap(({ choice, onlyInFirst, onlyInSecond }) => [
    choice,
    ...onlyInFirst.map((name) => `  - ${name}`),
    ...onlyInSecond.map((name) => `  + ${name}`),
  ]);
  return [...lines, "", `${common} of ${kept} connections in common`].join("\n");
}

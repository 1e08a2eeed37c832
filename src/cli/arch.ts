// `ista-nas arch`: shows, draws, counts, compares and makes cells. Nothing here needs the tensor library.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { type Command, Option } from "commander";
import { IstaError } from "../base/errors.js";
import { writeFileAtomic } from "../base/files.js";
import { type Column, formatTable } from "../base/format.js";
import { printable } from "../base/terminal.js";
import { drawGenotypeSvg, drawGenotypeText } from "../drawing/cells.js";
import { checkDrawingPath, writeDrawing } from "../drawing/picture-file.js";
import { formatGenotypeJson } from "../formats/genotype-json.js";
import { formatGenotypePython } from "../formats/genotype-python.js";
import { randomGenotypeOfSeed } from "../formats/genotype-resolve.js";
import { type Architecture, resolveArchitecture } from "../run/architecture.js";
import { epochName } from "../run/directory.js";
import { countNetwork, type NetworkCounts, type Size } from "../space/counts.js";
import { cellTypes } from "../space/darts.js";
import { type Genotype, type GenotypePair, sameGenotype } from "../space/genotype.js";
import { evaluationNetwork, type NetworkShape, normPlacements } from "../space/layout.js";
import { namedGenotypes } from "../space/named-genotypes.js";
import { addExamples, printResult } from "./frame.js";
import { wholeNumber } from "./model-options.js";

const cellsArgument = "run directory (or its name in ./runs), genotype file, name, or random:SEED";

/** The cells that a word means; of a search also those after one of its epochs, counted from 1. */
export function findArchitecture(word: string, epoch?: number): Architecture {
  const inRuns = join("runs", word);
  const isRunName = !existsSync(word) && basename(word) === word && existsSync(inRuns);
  const place = isRunName ? inRuns : word;
  if (epoch === undefined) return resolveArchitecture(place);
  const file = join(place, "genotypes", `${epochName(epoch - 1)}.json`);
  if (!existsSync(file)) {
    throw new IstaError(
      "FILE_NOT_FOUND",
      `--epoch ${epoch}: expected ${file}, there is none; is ${word} a search, and that far?`,
    );
  }
  return { ...resolveArchitecture(file), name: `${word}, epoch ${epoch}` };
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
    const difference = compareGenotypes(findArchitecture(a).genotype, findArchitecture(b).genotype);
    printResult(diff, difference, () => describeDifference(difference));
  });

  const random = arch.command("random").description("cells drawn at random, to compare a search with");
  random
    .requiredOption("--seed <n>", "which ones; the same as random:SEED elsewhere", wholeNumber("--seed", 0))
    .option("--out <file>", "write the genotype there instead of printing it")
    .action(() => {
      const { seed, out } = random.opts<{ seed: number; out?: string }>();
      const text = formatGenotypeJson(randomGenotypeOfSeed(seed));
      if (out === undefined) process.stdout.write(text);
      else {
        writeFileAtomic(out, text);
        printResult(random, { seed, file: out }, () => out);
      }
    });

  const list = arch.command("list").description("the published cells that have a name");
  list.action(() => {
    const rows = Object.entries(namedGenotypes).map(([name, { description }]) => ({ name, description }));
    printResult(list, rows, () =>
      formatTable(rows, [
        { title: "NAME", cell: (row) => row.name },
        { title: "WHERE THE CELLS COME FROM", cell: (row) => row.description },
      ]),
    );
  });

  addExamples(arch, [
    ["arch show ISTA_twostage", "both cells as text"],
    ["arch show runs/my-search --epoch 3 --format python", "the cells after epoch 3, for a PyTorch program"],
    ["arch draw runs/my-search --out cells.png", "a picture of them"],
    [
      "arch params ISTA_ImageNet --cells 14 --channels 48 --image-size 224 --classes 1000 --stem imagenet",
      "exact sizes",
    ],
    ["arch diff runs/my-search ISTA_twostage", "connections that differ"],
    ["arch random --seed 1 --out random-1.json", "random cells as a file"],
  ]);
}

function registerShow(arch: Command): void {
  const show = arch.command("show").description("print the cells").argument("<cells>", cellsArgument);
  show
    .addOption(epochOption())
    .addOption(new Option("--format <form>", "how").choices(["text", "json", "python"]).default("text"))
    .action((word: string) => {
      const { epoch, format } = show.opts<{ epoch?: number; format: string }>();
      const { genotype, name } = findArchitecture(word, epoch);
      const texts: Record<string, () => string> = {
        text: () => `${printable(name)}\n\n${drawGenotypeText(genotype)}`,
        json: () => formatGenotypeJson(genotype).trimEnd(),
        python: () => formatGenotypePython(genotype),
      };
      printResult(show, genotype, texts[format]);
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
      const { genotype, name } = findArchitecture(word, epoch);
      await writeDrawing(out, drawGenotypeSvg(genotype, { title: title ?? name }));
      printResult(draw, { name, file: out }, () => out);
    });
}

interface ParamsOptions {
  cells: number;
  channels: number;
  imageSize: number;
  inputChannels: number;
  classes: number;
  stem: NetworkShape["stem"];
  auxiliary: boolean;
  poolBatchNorm?: boolean;
}

function registerParams(arch: Command): void {
  const params = arch
    .command("params")
    .description("exact numbers of parameters and mult-adds of a network with the cells")
    .argument("<cells>", cellsArgument)
    .option("--cells <n>", "number of cells", wholeNumber("--cells", 3), 20)
    .option("--channels <n>", "channels of the first cell", wholeNumber("--channels", 1), 36)
    .option(
      "--image-size <n>",
      "height and width of the images in pixels",
      wholeNumber("--image-size", 4),
      32,
    )
    .option("--input-channels <n>", "channels of the images", wholeNumber("--input-channels", 1), 3)
    .option("--classes <n>", "number of classes", wholeNumber("--classes", 1), 10)
    .addOption(new Option("--stem <kind>", "first layers").choices(["cifar", "imagenet"]).default("cifar"))
    .option("--no-auxiliary", "leave the auxiliary head out of the table; it never counts in the total")
    .option("--pool-batch-norm", "batch norm after pooling and skip [as the architecture was searched]")
    .option("--no-pool-batch-norm");
  params.action((word: string) => {
    const { poolBatchNorm, imageSize, ...rest } = params.opts<ParamsOptions>();
    const { genotype, norms, name } = findArchitecture(word);
    const normalised = poolBatchNorm ?? norms?.afterPool ?? false;
    const shape: NetworkShape = { ...rest, imageHeight: imageSize, imageWidth: imageSize };
    const placement = normalised ? normPlacements.normalisedEvaluation : normPlacements.plainEvaluation;
    const counts = countNetwork(evaluationNetwork(genotype, shape, placement));
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

interface NodeDifference {
  cell: "normal" | "reduction";
  node: number;
  onlyInFirst: GenotypePair[];
  onlyInSecond: GenotypePair[];
}

interface GenotypeDifference {
  same: boolean;
  /** Connections that both have, of the 16 of two cells. */
  common: number;
  nodes: NodeDifference[];
}

/** The order of the two connections of a node makes no difference. */
function compareGenotypes(a: Genotype, b: Genotype): GenotypeDifference {
  const nodes = cellTypes.flatMap((cell) => {
    const key = cell === "normal" ? "normal" : "reduce";
    return [0, 1, 2, 3].map((node): NodeDifference => {
      const [first, second] = [a, b].map((genotype) => genotype[key].slice(2 * node, 2 * node + 2));
      const without = (from: GenotypePair[], other: GenotypePair[]): GenotypePair[] =>
        from.filter((pair) => !other.some((one) => `${one}` === `${pair}`));
      return {
        cell,
        node: node + 2,
        onlyInFirst: without(first, second),
        onlyInSecond: without(second, first),
      };
    });
  });
  const different = nodes.reduce((sum, { onlyInFirst }) => sum + onlyInFirst.length, 0);
  return {
    same: sameGenotype(a, b),
    common: a.normal.length + a.reduce.length - different,
    nodes: nodes.filter(({ onlyInFirst }) => onlyInFirst.length > 0),
  };
}

function describeDifference({ same, common, nodes }: GenotypeDifference): string {
  if (same) return "the same cells";
  const lines = nodes.flatMap(({ cell, node, onlyInFirst, onlyInSecond }) => [
    `${cell} cell, node ${node}`,
    ...onlyInFirst.map(([operation, predecessor]) => `  - ${operation} ${predecessor}`),
    ...onlyInSecond.map(([operation, predecessor]) => `  + ${operation} ${predecessor}`),
  ]);
  return [...lines, "", `${common} of 16 connections in common`].join("\n");
}

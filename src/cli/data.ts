// `ista-nas data`: verifies a folder of images, downloads a published data set.
import type { Command } from "commander";
import { IstaError } from "../base/errors.js";
import { type Column, formatTable } from "../base/format.js";
import { suggestion } from "../base/nearest.js";
import { printable } from "../base/terminal.js";
import type { DatasetReport, PartReport } from "../data/index.js";
import { addExamples, printResult } from "./frame.js";
import { wholeNumber } from "./model-options.js";

export function registerData(program: Command): void {
  const data = program.command("data").description("check and download data sets");

  const verify = data
    .command("verify")
    .description("read every image of a data set; print counts, classes, sizes and statistics");
  verify.argument("<directory>", "CIFAR binary files, IDX files, or an image folder (train/CLASS/*.jpg)");
  verify.option(
    "--split-seed <n>",
    "seed of which images are set aside for testing, where the data have no test images",
    wholeNumber("--split-seed", 0),
    0,
  );
  verify.action(async (directory: string, { splitSeed }: { splitSeed: number }) => {
    const { verifyDataset } = await import("../data/index.js");
    const progress = (done: number, total: number): void => {
      if (done % 100 === 0 || done === total) showProgress(`${done} of ${total} pictures`, done === total);
    };
    const report = await verifyDataset(directory, progress, splitSeed);
    printResult(verify, report, () => describeReport(report));
    const broken = report.broken.length;
    if (broken > 0) {
      throw new IstaError(
        "DATA_PICTURE",
        `data verify: expected readable pictures in ${directory}, ${broken} of them, listed above, are broken; ` +
          "replace them, or search and train with --skip-broken",
      );
    }
  });

  const download = data
    .command("download")
    .description("download a published data set from its authors' address and check it");
  download.argument("<name>", "cifar10, cifar100 or fashion-mnist");
  download.argument("[directory]", "new folder for the files; data/NAME where not given");
  download.action(async (name: string, directory = `data/${name}`) => {
    const { downloadDataset, downloadSources } = await import("../data/index.js");
    if (!Object.hasOwn(downloadSources, name)) {
      const known = Object.keys(downloadSources);
      throw new IstaError("USAGE", `data download: ${name} is not known; ${suggestion(name, known)}`);
    }
    const source = downloadSources[name];
    process.stderr.write(`${source.description}\n`);
    const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
    await downloadDataset(source, directory, (file, received, total) => {
      const of = total === undefined ? "" : ` of ${megabytes(total)}`;
      showProgress(`${file}: ${megabytes(received)}${of} MB`, received === total);
    });
    printResult(download, { name, directory }, () => printable(directory));
  });

  addExamples(data, [
    [
      "data verify photos",
      "whether all pictures below photos/ can be read, and how many there are of each class",
    ],
    ["data download cifar10 data/cifar10", "CIFAR-10 for --data data/cifar10"],
  ]);
}

/** Rewrites one line on a terminal; elsewhere only the last state is printed. */
function showProgress(text: string, last: boolean): void {
  // Names of the sources' files are ours.
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${text}${last ? "\n" : ""}`);
  else if (last) process.stderr.write(`${text}\n`);
}

interface ClassRow {
  name: string;
  train: number | undefined;
  test: number | undefined;
  val: number | undefined;
}

/** All digits: a missing picture must show. */
const exact = (count: number): string => count.toLocaleString("en-US");

const countColumn = (title: string, count: (row: ClassRow) => number | undefined): Column<ClassRow> => ({
  title,
  align: "right",
  cell: (row) => {
    const number = count(row);
    return number === undefined ? "-" : exact(number);
  },
});

const classColumns: Column<ClassRow>[] = [
  { title: "CLASS", cell: (row) => row.name },
  countColumn("TRAIN", (row) => row.train),
  countColumn("TEST", (row) => row.test),
];

function describeReport(report: DatasetReport): string {
  const { directory, format, classes, train, test, val, testSetAside, statistics, notes, broken } = report;
  const range = ([smallest, largest]: readonly [number, number]): string =>
    smallest === largest ? `${smallest}` : `${smallest} to ${largest}`;
  const part = (found: PartReport | undefined): string => {
    if (found === undefined) return "none";
    const { count, channels, height, width } = found;
    const sizes = `${range(height)} high, ${range(width)} wide`;
    return `${exact(count)} images, ${channels} channel${channels === 1 ? "" : "s"}, ${sizes}`;
  };
  const numbers = (values: readonly number[]): string => values.map((value) => value.toFixed(5)).join(" ");
  const rows = classes.map((name, label) => ({
    name,
    train: train?.classCounts[label],
    test: test?.classCounts[label],
    val: val?.classCounts[label],
  }));
  const measured = train === undefined ? "these images" : "training images";
  return [
    `${printable(directory)}: ${format}, ${classes.length} classes`,
    `train  ${part(train)}`,
    `test   ${part(test)}${testSetAside ? ", set aside from the training images" : ""}`,
    ...(val === undefined ? [] : [`val    ${part(val)}`]),
    `mean   ${numbers(statistics.mean)}   (${measured}, pixels 0..1)`,
    `std    ${numbers(statistics.std)}`,
    "",
    formatTable(
      rows,
      val === undefined ? classColumns : [...classColumns, countColumn("VAL", (row) => row.val)],
    ),
    ...notes.map((note) => `note: ${printable(note)}`),
    ...broken.map((reason) => `broken: ${printable(reason)}`),
  ].join("\n");
}

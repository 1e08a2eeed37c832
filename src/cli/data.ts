// The `data` commands: verify a folder of images, download a published data set.
import type { Command } from "commander";
import { IstaError } from "../base/errors.js";
import type { DatasetReport, PartReport } from "../data/index.js";

export function registerData(program: Command): void {
  const data = program.command("data").description("check and download data sets");
  data
    .command("verify")
    .description("read every image of a data set; print counts, classes, sizes and statistics")
    .argument("<directory>", "CIFAR binary files, IDX files, or an image folder (train/CLASS/*.jpg)")
    .option("--json", "print the report as JSON")
    .action(async (directory: string, options: { json?: boolean }) => {
      const { verifyDataset } = await import("../data/index.js");
      const report = await verifyDataset(directory, (done, total) => {
        if (done % 100 === 0 || done === total) progress(`${done} of ${total} pictures`, done === total);
      });
      process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : describeReport(report));
      const { broken } = report;
      if (broken.length > 0) {
        throw new IstaError(
          "DATA_PICTURE",
          `data verify: expected readable pictures in ${directory}, ${broken.length} are broken, listed above; ` +
            "replace them or search and train with --skip-broken",
        );
      }
    });
  data
    .command("download")
    .description("download cifar10, cifar100 or fashion-mnist from its authors' address and check it")
    .argument("<name>", "cifar10, cifar100 or fashion-mnist")
    .argument("[directory]", "new folder for the files; default data/NAME")
    .action(async (name: string, directory = `data/${name}`) => {
      const { downloadDataset, downloadSources } = await import("../data/index.js");
      if (!Object.hasOwn(downloadSources, name)) {
        const known = Object.keys(downloadSources).join(", ");
        throw new IstaError("USAGE", `data download: expected one of ${known}, came ${JSON.stringify(name)}`);
      }
      process.stderr.write(`${downloadSources[name].description}\n`);
      const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
      await downloadDataset(downloadSources[name], directory, (file, received, total) => {
        const of = total === undefined ? "" : ` of ${megabytes(total)}`;
        progress(`${file}: ${megabytes(received)}${of} MB`, received === total);
      });
      process.stdout.write(`${directory}\n`);
    });
}

/** Rewrites one line on a terminal; elsewhere only the last state is printed. */
function progress(text: string, last: boolean): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}${last ? "\n" : ""}`);
  else if (last) process.stderr.write(`${text}\n`);
}

function describeReport({
  directory,
  format,
  classes,
  train,
  test,
  statistics,
  broken,
}: DatasetReport): string {
  const range = ([smallest, largest]: readonly [number, number]): string =>
    smallest === largest ? `${smallest}` : `${smallest}..${largest}`;
  const part = (name: string, { count, channels, height, width }: PartReport): string =>
    `${name}: ${count} images, ${channels} channel${channels === 1 ? "" : "s"}, ` +
    `height ${range(height)}, width ${range(width)}`;
  const numbers = (values: readonly number[]): string => values.map((value) => value.toFixed(5)).join(" ");
  const nameWidth = Math.max(5, ...classes.map((name) => name.length));
  const row = (name: string, ...cells: (string | number | undefined)[]): string =>
    `  ${name.padEnd(nameWidth)}${cells.map((cell) => String(cell ?? "").padStart(9)).join("")}`;
  const lines = [
    `${directory}: ${format}, ${classes.length} classes`,
    part("train", train),
    test === undefined ? "test: none" : part("test", test),
    `mean ${numbers(statistics.mean)}   std ${numbers(statistics.std)}   (training images, pixels 0..1)`,
    row("class", "train", ...(test === undefined ? [] : ["test"])),
    ...classes.map((name, label) => row(name, train.classCounts[label], test?.classCounts[label])),
    ...broken.map((reason) => `broken: ${reason}`),
  ];
  return `${lines.join("\n")}\n`;
}

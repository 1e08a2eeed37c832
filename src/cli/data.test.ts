// `ista-nas data` as a program of its own: what it prints, and what it refuses.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { bundledFolder, expectError, picture, temporaryFolder } from "../../test/support/data.js";
import { registerData } from "./data.js";
import { newProgram } from "./frame.js";

const { folder, write } = temporaryFolder();

/** Runs a command line; gives what it printed to standard output, also if it fails afterwards. */
async function run(words: string[]): Promise<{ output: string; error: unknown }> {
  const printed: string[] = [];
  const spies = [process.stdout, process.stderr].map((stream) =>
    vi.spyOn(stream, "write").mockImplementation((text) => {
      if (stream === process.stdout) printed.push(String(text));
      return true;
    }),
  );
  try {
    const program = newProgram("ista-nas").option("--json");
    registerData(program);
    const error = await program.parseAsync(words, { from: "user" }).then(
      () => undefined,
      (reason) => reason,
    );
    return { output: printed.join(""), error };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

describe("data verify", () => {
  it("prints what a data set holds", async () => {
    const { output, error } = await run(["data", "verify", bundledFolder]);
    expect(error).toBeUndefined();
    expect(output).toContain("idx, 10 classes");
    expect(output).toMatch(/train {2}5,000 images, 1 channel, 28 high, 28 wide/);
    expect(output).toMatch(/mean {3}0\.28688/);
    expect(output).toMatch(/^Ankle boot +500 +100$/m);
  });

  it("prints it as JSON", async () => {
    const { output } = await run(["data", "verify", bundledFolder, "--json"]);
    const report = JSON.parse(output);
    expect(report).toMatchObject({
      format: "idx",
      train: { count: 5000, height: [28, 28] },
      test: { count: 1000 },
    });
    expect(report.classes.length).toBe(10);
    expect(report.statistics.mean.length).toBe(1);
  });

  describe("of an image folder", () => {
    beforeAll(async () => {
      write("photos/train/cat/0.jpg", await picture(60, 40));
      write("photos/train/cat/1.jpg", (await picture(60, 40)).subarray(0, 100));
      write("photos/train/dog/0.jpg", await picture(50, 70));
    });

    it("lists the broken pictures and fails", async () => {
      const { output, error } = await run(["data", "verify", join(folder, "photos")]);
      expect(output).toMatch(/train {2}2 images, .*70 high, 50 wide/);
      expect(output).toMatch(/test {3}1 images, .*40 high, 60 wide, set aside from the training images/);
      expect(output).toMatch(/^cat +1 +1$/m);
      expect(output).toMatch(/^dog +1 +0$/m);
      expect(output).toMatch(/^broken: .*cat\/1\.jpg/m);
      await expectError(() => Promise.reject(error), "DATA_PICTURE", "1 of them", "photos");
    });
  });

  it("fails for a folder without data", async () => {
    mkdirSync(join(folder, "bare/cat"), { recursive: true });
    const { error } = await run(["data", "verify", join(folder, "bare")]);
    await expectError(() => Promise.reject(error), "DATA_EMPTY", "bare/cat");
  });
});

describe("data download", () => {
  it("refuses unknown names before anything is done", async () => {
    const { error } = await run(["data", "download", "cifar-10"]);
    await expectError(() => Promise.reject(error), "USAGE", "did you mean cifar10?");
    expect((await run(["data", "download", "toString"])).error).toMatchObject({ code: "USAGE" });
  });

  it("refuses a folder with files before it connects", async () => {
    write("mine/notes.txt", "mine");
    const { error } = await run(["data", "download", "cifar10", join(folder, "mine")]);
    await expectError(() => Promise.reject(error), "FILE_EXISTS", "mine");
  });
});

// Tests of atomic writes, limits, names and errors on the real file system.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { mountSmallDisk, remount, unmount } from "../../test/support/small-disk.js";
import { IstaError } from "./errors.js";
import {
  fileError,
  hashFile,
  makeFolder,
  onFile,
  readFileLimited,
  readJson,
  removeUnfinished,
  replaceFolder,
  resolveInside,
  safeFileName,
  temporaryPrefix,
  writeFileAtomic,
  writeFileAtomicBy,
  writeFilesAtomic,
  writeFully,
  writePieces,
} from "./files.js";

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-files-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const at = (name: string): string => join(folder, name);

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof IstaError) {
      expect(error.message).not.toContain("\n");
      return error.code;
    }
    throw error;
  }
  return "none";
}

describe("reading", () => {
  it("gives the content up to the limit and refuses one byte more", () => {
    fs.writeFileSync(at("a"), "12345");
    expect(readFileLimited(at("a"), 5).toString()).toBe("12345");
    expect(codeOf(() => readFileLimited(at("a"), 4))).toBe("FILE_TOO_LARGE");
  });

  it("says what is wrong with the path", () => {
    fs.writeFileSync(at("a"), "");
    expect(codeOf(() => readFileLimited(at("missing"), 5))).toBe("FILE_NOT_FOUND");
    expect(codeOf(() => readFileLimited(folder, 5))).toBe("FILE_KIND");
    expect(codeOf(() => readFileLimited(at("a/b"), 5))).toBe("FILE_KIND");
    expect(codeOf(() => readFileLimited("/dev/zero", 5))).toBe("FILE_KIND");
    expect(codeOf(() => readFileLimited(at("x".repeat(300)), 5))).toBe("FILE_IO");
  });

  it("does not wait for a pipe that nobody writes to", () => {
    execFileSync("mkfifo", [at("pipe")]);
    expect(codeOf(() => readFileLimited(at("pipe"), 5))).toBe("FILE_KIND");
  });

  it("passes over the byte order mark that some editors write", () => {
    fs.writeFileSync(at("a.json"), "\ufeff[1]");
    expect(readJson(at("a.json"), 100)).toEqual([1]);
  });

  it.each(["", "{", "{'a': 1}", "nul"])("refuses %j as JSON", (text) => {
    fs.writeFileSync(at("a.json"), text);
    expect(codeOf(() => readJson(at("a.json"), 100))).toBe("FILE_JSON");
  });

  it("refuses bytes that are not UTF-8 as JSON", () => {
    fs.writeFileSync(at("a.json"), Buffer.from([0x22, 0xff, 0x22]));
    expect(codeOf(() => readJson(at("a.json"), 100))).toBe("FILE_JSON");
  });
});

describe("system errors", () => {
  it.each([
    ["ENOSPC", "FILE_DISK_FULL"],
    ["EDQUOT", "FILE_DISK_FULL"],
    ["EACCES", "FILE_DENIED"],
    ["EPERM", "FILE_DENIED"],
    ["EROFS", "FILE_READ_ONLY"],
    ["EEXIST", "FILE_EXISTS"],
    ["EIO", "FILE_IO"],
  ])("%s becomes %s with operation and path", (system, code) => {
    const error = fileError(
      Object.assign(new Error("it went wrong"), { code: system }),
      "write",
      "/some/path",
    );
    expect(error.code).toBe(code);
    expect(error.message).toContain("write /some/path: ");
  });

  it("a read-only file system is named as that, for files and for folders at any depth", (context) => {
    const disk = join(folder, "disk");
    if (!mountSmallDisk(disk, "size=1m")) return context.skip();
    try {
      fs.mkdirSync(join(disk, "there"));
      remount(disk, "ro");
      for (const path of ["new", "new/below", "there/new/below/it"])
        expect(codeOf(() => makeFolder(join(disk, path)))).toBe("FILE_READ_ONLY");
      expect(codeOf(() => writeFileAtomic(join(disk, "file"), ""))).toBe("FILE_READ_ONLY");
      makeFolder(join(disk, "there"));
    } finally {
      unmount(disk);
    }
  });

  it("folders are made with all above them, and a file in the way is named", () => {
    makeFolder(join(folder, "a/b/c"));
    makeFolder(join(folder, "a/b/c"));
    expect(fs.statSync(join(folder, "a/b/c")).isDirectory()).toBe(true);
    fs.writeFileSync(join(folder, "file"), "");
    expect(codeOf(() => makeFolder(join(folder, "file")))).toBe("FILE_EXISTS");
    expect(codeOf(() => makeFolder(join(folder, "file/below/it")))).toBe("FILE_KIND");
  });

  it("leaves mistakes of the program alone", () => {
    expect(() =>
      onFile("write", "x", () => {
        throw new TypeError("mistake");
      }),
    ).toThrow(TypeError);
  });
});

describe("atomic writes", () => {
  it("replaces the file and leaves nothing else", () => {
    writeFileAtomic(at("a"), "old");
    writeFileAtomic(at("a"), Buffer.from("new"));
    expect(fs.readFileSync(at("a"), "utf8")).toBe("new");
    expect(fs.readdirSync(folder)).toEqual(["a"]);
  });

  it("keeps the old file when the write fails half way", () => {
    writeFileAtomic(at("a"), "old");
    expect(() =>
      writeFileAtomicBy(at("a"), (file) => {
        writeFully(file, [Buffer.from("half")]);
        throw new Error("cut");
      }),
    ).toThrow("cut");
    expect(fs.readFileSync(at("a"), "utf8")).toBe("old");
    expect(fs.readdirSync(folder)).toEqual(["a"]);
  });

  it("replaces a link instead of writing through it", () => {
    fs.mkdirSync(at("inside"));
    fs.writeFileSync(at("outside"), "untouched");
    fs.symlinkSync(at("outside"), at("inside/link"));
    writeFileAtomic(at("inside/link"), "new");
    expect(fs.readFileSync(at("outside"), "utf8")).toBe("untouched");
  });

  it("says that the folder is missing", () => {
    expect(codeOf(() => writeFileAtomic(at("no/a"), ""))).toBe("FILE_NOT_FOUND");
  });

  it("leaves devices and pipes where they are", () => {
    fs.symlinkSync("/dev/full", at("device"));
    execFileSync("mkfifo", [at("pipe")]);
    for (const name of ["device", "pipe"])
      expect(codeOf(() => writeFileAtomic(at(name), "x"))).toBe("FILE_KIND");
    expect(codeOf(() => writeFilesAtomic(folder, { a: "x", pipe: "x" }))).toBe("FILE_KIND");
    expect(fs.readdirSync(folder).sort()).toEqual(["device", "pipe"]);
    expect(fs.lstatSync(at("device")).isSymbolicLink()).toBe(true);
    expect(fs.statSync(at("pipe")).isFIFO()).toBe(true);
  });

  it("writes thousands of pieces, empty ones included, as one file", () => {
    const pieces = Array.from({ length: 5000 }, (_, index) => Buffer.alloc(index % 7, index % 251));
    const whole = Buffer.concat(pieces);
    const { bytes, sha256 } = writePieces(at("pieces"), pieces);
    expect(fs.readFileSync(at("pieces")).equals(whole)).toBe(true);
    expect({ bytes, sha256 }).toEqual(hashFile(at("pieces")));
    expect(bytes).toBe(whole.length);
  });

  it("files that belong together are all new, or all as they were", () => {
    writeFilesAtomic(folder, { a: "old a", b: Buffer.from("old b") });
    expect(codeOf(() => writeFilesAtomic(folder, { a: "new a", "no/b": "new b" }))).toBe("FILE_NOT_FOUND");
    expect(fs.readFileSync(at("a"), "utf8")).toBe("old a");
    writeFilesAtomic(folder, { a: "new a", c: "new c" });
    const contents = ["a", "b", "c"].map((name) => fs.readFileSync(at(name), "utf8"));
    expect(contents).toEqual(["new a", "old b", "new c"]);
    expect(fs.readdirSync(folder).sort()).toEqual(["a", "b", "c"]);
  });
});

describe("replaced folders", () => {
  const fill = (text: string) => (temporary: string) => {
    writePieces(join(temporary, "content"), [Buffer.from(text)]);
  };
  const content = (name: string): string => fs.readFileSync(at(`${name}/content`), "utf8");

  it("keep the one before, and only that", () => {
    for (const text of ["1", "2", "3"]) replaceFolder(at("new"), at("old"), fill(text));
    expect([content("new"), content("old")]).toEqual(["3", "2"]);
    expect(fs.readdirSync(folder).sort()).toEqual(["new", "old"]);
  });

  it("stay as they are when filling fails", () => {
    replaceFolder(at("new"), at("old"), fill("1"));
    const broken = (temporary: string): void => {
      fill("half")(temporary);
      throw new Error("cut");
    };
    expect(() => replaceFolder(at("new"), at("old"), broken)).toThrow("cut");
    expect(content("new")).toBe("1");
    expect(fs.readdirSync(folder)).toEqual(["new"]);
  });
});

it("hashes a file like the pieces that it was written from", () => {
  const pieces = [Buffer.alloc(3_000_000, 7), Buffer.from("end")];
  const written = writePieces(at("a"), pieces);
  expect(written.bytes).toBe(3_000_003);
  expect(hashFile(at("a"))).toEqual(written);
});

it("removes what cut-off writes left", () => {
  fs.mkdirSync(at(`${temporaryPrefix}1-folder`));
  fs.writeFileSync(at(`${temporaryPrefix}2-file`), "");
  fs.writeFileSync(at("kept"), "");
  removeUnfinished(folder);
  expect(fs.readdirSync(folder)).toEqual(["kept"]);
});

describe("names from outside", () => {
  it.each(["plain", "Größe-2.png", "7", "a.b_c"])("keeps %j", (text) => {
    expect(safeFileName(text)).toBe(text);
  });

  it("always makes one plain name that stays in its folder, and different ones for different texts", () => {
    const nasty = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom("..", ".", "", "../../etc/passwd", "/etc", "a\0b", "a\\b", "con:", "-rf"),
    );
    fc.assert(
      fc.property(nasty, nasty, (a, b) => {
        const name = safeFileName(a);
        expect(name).toMatch(/^[\p{L}\p{N}_-][\p{L}\p{N}._-]*$/u);
        expect(Buffer.byteLength(name)).toBeLessThan(256);
        expect(resolveInside(folder, name)).toBe(join(folder, name));
        if (a !== b) expect(safeFileName(b)).not.toBe(name);
      }),
    );
  });

  it.each(["../x", "a/../../x", "/etc/passwd", "a\0b", ".."])("refuses %j as a way out", (name) => {
    expect(codeOf(() => resolveInside(folder, name))).toBe("FILE_OUTSIDE");
  });

  it("refuses a link that leads out, and allows names that only look like it", () => {
    fs.symlinkSync(tmpdir(), at("link"));
    expect(codeOf(() => resolveInside(folder, "link/file"))).toBe("FILE_OUTSIDE");
    expect(resolveInside(folder, "..a/b")).toBe(at("..a/b"));
    expect(resolveInside(at("not/yet/there"), "a")).toBe(at("not/yet/there/a"));
  });
});

// Downloads from a server of this test's own on the loopback address.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cifarFile, expectError, temporaryFolder } from "../../test/support/data.js";
import { type DownloadSource, downloadDataset, downloadSources } from "./download.js";
import { openDataset } from "./open.js";

const { folder, write } = temporaryFolder();
const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex");

/** A tar archive with the given members. */
function tar(members: Record<string, Uint8Array>): Buffer {
  const parts: Buffer[] = [];
  for (const [name, content] of Object.entries(members)) {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
    parts.push(header, Buffer.from(content), Buffer.alloc((512 - (content.length % 512)) % 512));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

const records = cifarFile([1, 2, 3]);
const archive = gzipSync(
  tar({
    "cifar-10-batches-bin/": new Uint8Array(),
    "cifar-10-batches-bin/data_batch_1.bin": records,
    "cifar-10-batches-bin/readme.html": Buffer.from("not wanted"),
    "../../../escape/test_batch.bin": records,
  }),
);
const files: Record<string, Buffer> = {
  "/good.tar.gz": archive,
  "/bent.tar.gz": gzipSync(
    Buffer.concat([tar({ "data_batch_1.bin": records }).subarray(0, 600), Buffer.alloc(10)]),
  ),
  "/not.tar.gz": Buffer.from("no archive"),
  "/notes.txt": Buffer.from("plain file"),
};
let server: Server;
let address: string;

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = request.url ?? "";
    if (path === "/broken-off") {
      response.writeHead(200, { "content-length": 1000 });
      response.write("only this", () => response.destroy());
    } else if (files[path] === undefined) {
      response.writeHead(404).end();
    } else {
      response.writeHead(200, { "content-length": files[path].length }).end(files[path]);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
});

const members = ["data_batch_1.bin", "test_batch.bin"];
const source = (...list: DownloadSource["files"]): DownloadSource => ({ description: "test", files: list });
const target = (name: string): string => join(folder, name);

describe("downloadDataset", () => {
  it("unpacks the wanted files into the folder and nothing anywhere else", async () => {
    const progress: [string, number, number | undefined][] = [];
    const wanted = source(
      { url: `${address}/good.tar.gz`, md5: md5(archive), members },
      { url: `${address}/notes.txt`, md5: md5(files["/notes.txt"]) },
    );
    await downloadDataset({ ...wanted, classes: ["a", "b"] }, target("deep/new"), (...step) =>
      progress.push(step),
    );
    expect(readdirSync(target("deep"))).toEqual(["new"]);
    expect(readdirSync(target("deep/new")).sort()).toEqual([
      "classes.txt",
      "data_batch_1.bin",
      "notes.txt",
      "test_batch.bin",
    ]);
    expect(readFileSync(target("deep/new/classes.txt"), "utf8")).toBe("a\nb\n");
    const { format, train, test } = await openDataset(target("deep/new"));
    expect([format, train.count, test?.count]).toEqual(["cifar10", 3, 3]);
    expect(progress.at(-1)).toEqual(["notes.txt", 10, 10]);
    expect(progress.filter(([name]) => name === "good.tar.gz").at(-1)?.[1]).toBe(archive.length);
  });

  it("leaves nothing behind when something is wrong", async () => {
    const good = { url: `${address}/notes.txt`, md5: md5(files["/notes.txt"]) };
    const fails = async (bad: DownloadSource["files"][number], ...words: string[]): Promise<void> => {
      await expectError(
        () => downloadDataset(source(good, bad), target("bad/new")),
        "DATA_DOWNLOAD",
        bad.url,
        ...words,
      );
      expect(readdirSync(target("bad"))).toEqual([]);
    };
    await fails(
      { url: `${address}/good.tar.gz`, md5: md5(records), members },
      "MD5",
      md5(records),
      md5(archive),
    );
    await fails({ url: `${address}/absent`, md5: "" }, "404");
    await fails({ url: `${address}/broken-off`, md5: "" }, "failed connection");
    await fails({ url: "http://127.0.0.1:1/refused", md5: "" }, "failed connection");
    const packed = (name: string, ...wanted: string[]) => ({
      url: `${address}${name}`,
      md5: md5(files[name]),
      members: wanted,
    });
    await fails(packed("/not.tar.gz", ...members), "tar archive");
    await fails(packed("/bent.tar.gz", ...members), "data_batch_1.bin", "malformed");
    await fails(packed("/good.tar.gz", ...members, "data_batch_2.bin"), "data_batch_2.bin in the archive");
  });

  it("overwrites nothing", async () => {
    const file = write("full/data_batch_1.bin", "mine");
    const wanted = source({ url: `${address}/notes.txt`, md5: md5(files["/notes.txt"]) });
    await expectError(() => downloadDataset(wanted, target("full")), "FILE_EXISTS", "has files");
    expect(readFileSync(file, "utf8")).toBe("mine");
    // mkdir says "exists" of a file in the place of a folder.
    await expectError(() => downloadDataset(wanted, join(file, "below")), "FILE_EXISTS", "data_batch_1.bin");
  });
});

it("the published sources are complete", () => {
  expect(Object.keys(downloadSources)).toEqual(["cifar10", "cifar100", "fashion-mnist"]);
  for (const { files: list } of Object.values(downloadSources)) {
    for (const { url, md5: sum } of list) {
      expect(url).toMatch(
        /^https:\/\/(www\.cs\.toronto\.edu|raw\.githubusercontent\.com\/zalandoresearch)\//,
      );
      expect(sum).toMatch(/^[0-9a-f]{32}$/);
    }
  }
});

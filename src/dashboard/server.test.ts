// Who is answered, and what cannot be read: other host names, other methods, paths and links that lead out, tokens.
import fs from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { darts } from "../space/darts/space.js";
import { Catalogue } from "./catalogue.js";
import { type Dashboard, startServer } from "./server.js";

const folder = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "ista-nas-server-")));
const runs = join(folder, "runs");
const secret = "this is not for anybody";

function makeRun(path: string, created = "2026-01-01T00:00:00.000Z"): void {
  fs.mkdirSync(join(path, "genotypes"), { recursive: true });
  const meta = { formatVersion: 1, kind: "search", created, seed: 3, command: ["search"], versions: {} };
  fs.writeFileSync(join(path, "meta.json"), JSON.stringify(meta));
  fs.writeFileSync(join(path, "config.json"), JSON.stringify({ space: "darts", epochs: 4, method: "spos" }));
  const genotype = darts.toGenotype(darts.named.ISTA_twostage.selection);
  fs.writeFileSync(join(path, "metrics.jsonl"), `${JSON.stringify({ epoch: 0, loss: 2, genotype })}\n`);
  fs.writeFileSync(join(path, "genotypes/epoch-000.json"), JSON.stringify(genotype));
}

let server: Dashboard;
let guarded: Dashboard;
beforeAll(async () => {
  makeRun(join(runs, "good"));
  makeRun(join(folder, "outside"));
  fs.writeFileSync(join(folder, "secret.json"), JSON.stringify({ formatVersion: 1, secret }));
  // Links of all kinds, which lead to what was not named.
  fs.symlinkSync(join(folder, "outside"), join(runs, "linked-run"));
  for (const name of ["linked-files", "linked-genotypes"]) makeRun(join(runs, name));
  for (const name of ["config.json", "summary.json", "metrics.jsonl"]) {
    fs.rmSync(join(runs, "linked-files", name), { force: true });
    fs.symlinkSync(join(folder, "secret.json"), join(runs, "linked-files", name));
  }
  fs.rmSync(join(runs, "linked-genotypes/genotypes"), { recursive: true });
  fs.symlinkSync(join(folder, "outside/genotypes"), join(runs, "linked-genotypes/genotypes"));
  const common = { host: "127.0.0.1", port: 0 };
  server = await startServer({ ...common, catalogue: new Catalogue([runs]), token: null });
  guarded = await startServer({ ...common, catalogue: new Catalogue([runs]), token: "tell-me-12345" });
});
afterAll(async () => {
  await Promise.all([server.close(), guarded.close()]);
  fs.rmSync(folder, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

/** A request whose path is sent as it is, which `fetch` would not do. @param until ends an endless answer */
function ask(
  { port }: Dashboard,
  path: string,
  {
    method = "GET",
    headers = {},
    until,
  }: { method?: string; headers?: Record<string, string>; until?: RegExp } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const host = `localhost:${port}`;
    const sent = request(
      { host: "127.0.0.1", port, path, method, headers: { host, ...headers } },
      (answer) => {
        let body = "";
        const done = (): void => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body });
        answer.setEncoding("utf8").on("data", (part) => {
          body += part;
          if (until?.test(body)) {
            done();
            sent.destroy();
          }
        });
        answer.on("end", done);
      },
    );
    sent.on("error", reject);
    sent.end();
  });
}

const events = (query: string, headers: Record<string, string> = {}): Promise<Answer> =>
  ask(server, `/events?${query}`, { headers, until: /event: ready\n/ });

/** The data of all events of a name. */
const dataOf = (body: string, name: string): unknown[] =>
  [...body.matchAll(/^event: (\w+)\n(?:id: .*\n)?data: (.*)$/gm)]
    .filter(([, event]) => event === name)
    .map(([, , data]) => JSON.parse(data));

describe("the server", () => {
  it("answers with a page that may load nothing from elsewhere and run nothing inline", async () => {
    const { status, headers, body } = await ask(server, "/");
    expect(status).toBe(200);
    expect(body).toContain("<main");
    expect(body).not.toMatch(/<script>|<style>|style=| on\w+=|https?:/);
    const policy = String(headers["content-security-policy"]);
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/unsafe|\*|data:|https?:/);
    expect(headers["x-content-type-options"]).toBe("nosniff");
    // Modules are there once they are compiled; test/dash.test.ts has them run.
    for (const [, path] of body.matchAll(/(?:src|href)="(\/(?!page\/)[^"]+)"/g))
      expect(await ask(server, path), path).toMatchObject({ status: 200 });
  });

  it.each(["evil.example", "localhost", "localhost:1", "127.0.0.1.evil.example:80"])(
    "answers no other host: %j",
    async (host) => {
      const { status, body } = await ask(server, "/events", { headers: { host } });
      expect(status).toBeGreaterThanOrEqual(400);
      expect(body).not.toContain("event:");
    },
  );

  it("answers all names of the loopback", async () => {
    for (const name of ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
      expect(await ask(server, "/", { headers: { host: `${name}:${server.port}` } }), name).toMatchObject({
        status: 200,
      });
  });

  it.each(["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])("does not know %s", async (method) => {
    expect(await ask(server, "/", { method })).toMatchObject({ status: 405 });
  });

  it("gives HEAD no body", async () => {
    expect(await ask(server, "/", { method: "HEAD" })).toMatchObject({ status: 200, body: "" });
    expect(await ask(server, "/events", { method: "HEAD" })).toMatchObject({ status: 200, body: "" });
  });

  it("answers no pages of others in the background", async () => {
    for (const site of ["cross-site", "same-site"])
      expect(await ask(server, "/events", { headers: { "sec-fetch-site": site } })).toMatchObject({
        status: 403,
      });
  });

  it.each([
    "/../../../../etc/passwd",
    "/..%2f..%2f..%2fetc/passwd",
    "/page/../../../package.json",
    "/page/%2e%2e/%2e%2e/package.json",
    "//etc/passwd",
    "/page/main.js%00",
    "/runs/good/meta.json",
    "/api/cells.svg?run=../outside&epoch=0",
    "/api/cells.svg?run=good/../../outside&epoch=0",
    "/api/cells.svg?run=good&epoch=..%2f..%2f000",
    "/api/cells.svg?run=linked-run&epoch=0",
    "/api/cells.svg?run=linked-genotypes&epoch=0",
    "/api/study?id=..",
  ])("does not leave its addresses by %s", async (path) => {
    const { status, body } = await ask(server, path);
    expect(status, body).toBe(404);
    expect(body).not.toMatch(/root:|"name"|<svg/);
  });

  it("draws the cells of a run", async () => {
    const { status, headers, body } = await ask(server, "/api/cells.svg?run=good&epoch=0");
    expect(status).toBe(200);
    expect(headers["content-type"]).toContain("image/svg+xml");
    expect(body).toContain("sep conv 5×5");
  });

  it("lists runs but no links, and reads nothing through links", async () => {
    const { body } = await events("run=linked-files&run=linked-run&run=..%2Foutside&run=good&detailed");
    const [{ rows }] = dataOf(body, "rows") as { rows: { id: string; epoch: number }[] }[];
    expect(rows.map(({ id }) => id).sort()).toEqual(["good", "linked-files", "linked-genotypes"]);
    expect(rows.find(({ id }) => id === "linked-files")).toMatchObject({ epoch: 0, loss: null });
    expect(body).not.toContain(secret);
    const told = dataOf(body, "points") as { id: string }[];
    expect(told.map(({ id }) => id)).toEqual(["good"]);
  });

  it("tells a page that comes back only what it lacks, after a restart as well", async () => {
    const first = await events("run=good");
    const last = /event: ready\nid: (.*)\n/.exec(first.body)![1];
    const path = join(runs, "good/metrics.jsonl");
    fs.appendFileSync(path, `${JSON.stringify({ epoch: 1, loss: 1 })}\n`);
    const again = await events("run=good", { "last-event-id": last });
    expect(dataOf(again.body, "points")).toMatchObject([{ reset: false, points: [{ epoch: 1 }] }]);
    const { body } = await events("run=good");
    expect(dataOf(body, "points")).toMatchObject([{ reset: true, points: [{ epoch: 0 }, { epoch: 1 }] }]);
  });
});

describe("single steps", () => {
  it("are told where codes and supports are, without what is none", async () => {
    const rows = [{ step: 2, epoch: 0, loss: 2.5, accuracy: 0.25 }, { step: 4 }, "nonsense"];
    fs.writeFileSync(join(runs, "good/steps.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const { body } = await events("run=good&detailed");
    expect(dataOf(body, "steps")).toEqual([{ id: "good", reset: true, steps: [[2, 0, 2.5, 0.25]] }]);
    expect(dataOf((await events("run=good")).body, "steps")).toEqual([]);
  });
});

describe("a server with a token", () => {
  it("answers nobody without it", async () => {
    for (const path of ["/", "/events", "/page/main.js", "/?token=wrong", "/?token="])
      expect(await ask(guarded, path), path).toMatchObject({ status: 401 });
    expect(guarded.address).toContain("?token=tell-me-12345");
  });

  it("takes it from the address once and keeps it where no script can read it", async () => {
    const { status, headers } = await ask(guarded, "/?token=tell-me-12345");
    expect({ status, location: headers.location }).toEqual({ status: 303, location: "/" });
    const [cookie] = headers["set-cookie"] as string[];
    expect(cookie).toMatch(/HttpOnly; SameSite=Strict/);
    const [pair] = cookie.split(";");
    expect(await ask(guarded, "/", { headers: { cookie: pair } })).toMatchObject({ status: 200 });
    expect(await ask(guarded, "/", { headers: { cookie: `${pair}x` } })).toMatchObject({ status: 401 });
  });
});

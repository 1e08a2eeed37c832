// The command `dash`: a page on this machine that follows runs as they go.
import type { Command } from "commander";
import { IstaError } from "../base/errors.js";
import { writeFileAtomic } from "../base/files.js";
import { formatBytes } from "../base/format.js";
import { styled } from "../base/terminal.js";
import { addExamples, printResult, wantsJson, wantsQuiet } from "./frame.js";
import { wholeNumber } from "./model-options.js";

interface DashOptions {
  host: string;
  port?: number;
  token?: string;
  save?: string;
  /** Ends with the process that started it. */
  withParent?: boolean;
}

/** Tried first, so that the address is the same tomorrow; where another program has it, any free one. */
const usualPort = 8124;

async function save(command: Command, roots: readonly string[], file: string): Promise<void> {
  const { Catalogue } = await import("../dashboard/catalogue.js");
  const { savedPage } = await import("../dashboard/saved-page.js");
  const html = await savedPage(new Catalogue(roots));
  writeFileAtomic(file, html);
  printResult(
    command,
    { file, bytes: Buffer.byteLength(html) },
    () => `${file} (${formatBytes(Buffer.byteLength(html))}): open it in a browser, or send it to somebody`,
  );
}

async function serve(command: Command, roots: readonly string[], options: DashOptions): Promise<void> {
  const { Catalogue } = await import("../dashboard/catalogue.js");
  const { isLoopback, newToken, startServer } = await import("../dashboard/server.js");
  const { host, port } = options;
  if (port !== undefined && port > 65_535)
    throw new IstaError("USAGE", `--port: expected a number of at most 65535, got ${port}`);
  // Whoever reaches the address from elsewhere must know something that nobody can guess.
  const token = options.token ?? (isLoopback(host) ? null : newToken());
  if (token !== null && !/^[\w-]{8,}$/.test(token))
    throw new IstaError("USAGE", "--token: expected at least 8 letters, digits, dashes and underscores");
  const wanted = { catalogue: new Catalogue(roots), host, token };
  const server = await startServer({ ...wanted, port: port ?? usualPort }).catch((error: unknown) => {
    if (port !== undefined) throw error;
    return startServer({ ...wanted, port: 0 });
  });
  // Before its address is out, after which anybody may end it.
  const end = ended(options.withParent === true);
  if (wantsJson(command)) process.stdout.write(`${JSON.stringify({ address: server.address })}\n`);
  else process.stdout.write(`${server.address}\n`);
  if (!wantsQuiet(command)) for (const line of explanation(roots, host, token)) process.stderr.write(line);
  await end;
  await server.close();
}

function explanation(roots: readonly string[], host: string, token: string | null): string[] {
  const loopback = host === "localhost" || host.startsWith("127.") || host === "::1";
  const lines = [`follows ${roots.join(", ")}; Ctrl-C ends it\n`];
  const warning = styled("note", "yellow", process.stderr);
  if (!loopback)
    lines.push(
      `${warning}: other machines can reach this. Whoever has the address with its token sees all runs there, read only; what is sent is not encrypted, so use it in networks that you trust, or a tunnel (ssh -L) instead\n`,
    );
  else if (token === null)
    lines.push(
      "only this machine can reach it, every user of it (--token WORD asks for a token); elsewhere: ssh -L with the same port at both ends\n",
    );
  return lines;
}

/** Waits for a signal, or for the process that started this one to go. */
function ended(withParent: boolean): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGTERM", () => resolve());
    // Ctrl-C goes to the run, too, which finishes its step and saves: that is still to be seen.
    process.on("SIGINT", () => withParent || resolve());
    if (!withParent) return;
    process.stdin.once("end", () => resolve());
    process.stdin.once("error", () => resolve());
    process.stdin.resume();
  });
}

export function registerDash(program: Command): void {
  const command = program
    .command("dash")
    .description("a page in the browser that shows runs and studies while they go on")
    .argument("[runs...]", "folders of runs, single runs, studies", ["runs"])
    .option("--host <address>", "where to listen; another than the loopback asks for a token", "127.0.0.1")
    .option("--port <number>", `0 for any free one [${usualPort}, or any free one]`, wholeNumber("--port", 0))
    .option("--token <word>", "what the address must contain [none; one is made with --host]")
    .option("--save <file>", "instead of serving: writes the page with these runs into one HTML file")
    .action(async (runs: string[]) => {
      const options = command.opts<DashOptions>();
      if (options.save === undefined) return serve(command, runs, options);
      const alien = (["host", "port", "token"] as const).filter(
        (name) => command.getOptionValueSource(name) === "cli",
      );
      if (alien.length > 0)
        throw new IstaError("USAGE", `--save: nothing is served then; leave out --${alien.join(", --")}`);
      await save(command, runs, options.save);
    });
  command.addOption(command.createOption("--with-parent", "ends when standard input does").hideHelp());
  addExamples(command, [
    ["dash", "all runs in ./runs"],
    ["dash runs/first runs/study-spaces", "a run and a study"],
    ["dash /mnt/cluster/runs", "runs of other machines, on a shared folder"],
    ["dash --host 0.0.0.0", "seen from other machines by whoever has the printed address"],
    ["dash --save first.html runs/first", "a page to send to somebody"],
  ]);
}

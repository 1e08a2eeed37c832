// What all commands share: how they print, how errors and exit statuses come out, how help and misspelt names look.
import { closeSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { Command, CommanderError } from "commander";
import { IstaError } from "../base/errors.js";
import { fileError } from "../base/files.js";
import { printable, printableJson, printableLines, styled } from "../base/terminal.js";

/** Flags that every command has. */
export interface GlobalOptions {
  json: boolean;
  verbose: boolean;
  quiet?: boolean;
}

/** A program or command with the behaviour of this command line; subcommands inherit it. */
export function newProgram(name: string): Command {
  return (
    new Command(name)
      .exitOverride()
      .configureOutput({ outputError: () => {} })
      // Commander wraps nothing beside terms that are longer than this leaves room for.
      .configureHelp({ showGlobalOptions: true, minWidthToWrap: 20, subcommandTerm })
      .showSuggestionAfterError()
  );
}

/** The name of a command and its arguments; that it has options goes without saying. */
function subcommandTerm(command: Command): string {
  const words = command.registeredArguments.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
    return argument.required ? `<${name}>` : `[${name}]`;
  });
  return [command.name(), ...words].join(" ");
}

/** Adds examples to the end of a command's help; each is what follows `ista-nas`, and what it does. */
export function addExamples(command: Command, examples: readonly (readonly [string, string])[]): Command {
  const lines = examples.map(([line, what]) => `  # ${what}\n  ista-nas ${line}`);
  return command.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}

/** Whether a command was asked for JSON. */
export const wantsJson = (command: Command): boolean =>
  command.optsWithGlobals<GlobalOptions>().json === true;

/** Whether a command is to say nothing of how it goes: warnings, errors and results stay. */
export const wantsQuiet = (command: Command): boolean =>
  wantsJson(command) || command.optsWithGlobals<GlobalOptions>().quiet === true;

/** Prints a command's result: as one JSON value with `--json`, as text otherwise. */
export function printResult(command: Command, value: unknown, text: () => string): void {
  print(`${wantsJson(command) ? printableJson(value, 2) : text()}\n`);
}

/** The way to standard output for all results: nothing in them steers the terminal. */
export function print(text: string): void {
  process.stdout.write(printableLines(text));
}

/** Tells on standard error what is to be known. */
export function note(text: string): void {
  process.stderr.write(`${styled("note", "yellow", process.stderr)}: ${printable(text)}\n`);
}

/** The error as an IstaError: wrong usage found by commander, or a mistake of ours. */
function asIstaError(error: unknown): IstaError {
  if (error instanceof IstaError) return error;
  if (error instanceof CommanderError) {
    return new IstaError("USAGE", error.message.replace(/^error: /, "").replace(/\s*\n\s*/g, " "));
  }
  const message = error instanceof Error ? error.message : String(error);
  return new IstaError("INTERNAL", message, { cause: error });
}

/** What an error says on one line, and where it came about: a message of several lines would pass for more than it is. */
function stackOf({ name, message, stack = "" }: Error): string {
  const frames = stack.split("\n").filter((line) => /^ {4}at /.test(line));
  return [`${name}: ${printable(message)}`, ...frames].join("\n");
}

/** Reports an error in one line (with its stack if wanted, as JSON if wanted) and returns the exit status. */
export function reportError(error: unknown, { json, verbose }: GlobalOptions): number {
  if (error instanceof CommanderError) {
    // Help and version are no errors, but help that came because a command was missing is.
    if (error.exitCode === 0) return 0;
    if (error.code === "commander.help") return 2;
  }
  const ista = asIstaError(error);
  if (ista.isEcho) return ista.exitStatus;
  const stack =
    ista.cause instanceof Error ? `${stackOf(ista)}\ncaused by ${stackOf(ista.cause)}` : stackOf(ista);
  // A mistake of ours is always shown with its stack: it is what a report needs.
  const showStack = verbose || ista.code === "INTERNAL";
  if (json) {
    const body = { code: ista.code, message: ista.message, ...(showStack ? { stack } : {}) };
    process.stderr.write(`${printableJson({ error: body })}\n`);
  } else {
    const label = styled(`error ${ista.code}`, "red", process.stderr);
    const tail = showStack ? printableLines(`${stack}\n`) : "";
    process.stderr.write(`${label}: ${printable(ista.message)}\n${tail}`);
  }
  return ista.exitStatus;
}

/** A reader or a terminal that went away. */
const gone = ["EPIPE", "EIO", "ERR_STREAM_DESTROYED"];

let outputLost: (error: IstaError) => void = () => {};

/**
 * What can be printed no more: a reader that went away (`| head`) or a closed terminal is no error, what is still printed goes nowhere.
 * What a full disk takes away of standard output is one, since it is what the command is for; of standard error there is nobody to
 * tell, and it is tried again with every line.
 */
export function tolerateLostOutput(fail: (error: IstaError) => void): void {
  outputLost = fail;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (!gone.includes(error.code ?? "")) outputLost(fileError(error, "write", "standard output"));
  });
  process.stderr.on("error", () => {
    // The stream is of no use any more.
    process.stderr.write = (text: string | Uint8Array): boolean => {
      try {
        writeSync(process.stderr.fd, text as string);
      } catch {
        // Perhaps the next time.
      }
      return true;
    };
  });
}

/**
 * Gives up terminals that went away before the process ends: Node would set them back to how they were, and ends by a signal where
 * that cannot be done.
 */
export function tolerateClosedTerminals(): void {
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  process.on("exit", () => {
    for (const descriptor of terminals) if (!isatty(descriptor)) closeSync(descriptor);
  });
}

/** For commands whose product is a run: that something could not be printed is a warning. */
export function needsNoOutput(warn: (text: string) => void): void {
  outputLost = ({ code, message }) => warn(`not printed, the run itself is saved: ${code} ${message}`);
}

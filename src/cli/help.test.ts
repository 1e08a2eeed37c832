// The help of every command: in groups, and no wider than a window of 80 columns.
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { buildProgram } from "./main.js";

/** A command and all below it. */
const within = (command: Command): Command[] => [command, ...command.commands.flatMap(within)];

function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
}

const helpOf = (...names: string[]): string => {
  const find = (command: Command, [name, ...rest]: string[]): Command =>
    name === undefined ? command : find(command.commands.find((one) => one.name() === name)!, rest);
  return find(buildProgram(), names).helpInformation();
};

describe("help", () => {
  it.each(within(buildProgram()).map((command) => [nameOf(command), command] as const))(
    "of %s is wrapped",
    (_, command) => {
      // What cannot be broken, such as the usage line's only word, does not come so long.
      expect(
        command
          .helpInformation()
          .split("\n")
          .filter((line) => line.length > 80),
      ).toEqual([]);
    },
  );

  it("shows commands in groups, and none outside of them", () => {
    const help = helpOf();
    const order = [
      "From pictures to a network:",
      "  search ",
      "Using a network:",
      "  predict ",
      "Cells, data and runs:",
    ];
    expect(order.map((text) => help.indexOf(text)).every((at, i, all) => at > (all[i - 1] ?? 0))).toBe(true);
    expect(help).not.toContain("\nCommands:");
  });

  it.each(["search", "train"])("of %s shows every option in a group", (name) => {
    const help = helpOf(name);
    for (const heading of ["Images:", "Network:", "Training:", "Machine and checkpoints:"])
      expect(help).toContain(`\n${heading}\n`);
    const [loose] = help.slice(help.indexOf("\nOptions:\n")).split("\n\n");
    const flags = [...loose.matchAll(/^ {2}(-h, )?--([\w-]+)/gm)].map((found) => found[2]);
    const expected = ["preset", "config", "out", "root", "name", "resume", "dash", "timeout", "help"];
    expect(flags).toEqual(expect.arrayContaining(expected));
    expect(flags.filter((flag) => !expected.includes(flag))).toEqual(name === "search" ? ["go-on"] : []);
  });
});

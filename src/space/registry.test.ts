// The spaces that the program knows: found by name, added once, and named by genotypes.
import { describe, expect, test } from "vitest";
import { expectError } from "../../test/support/data.js";
import { darts, dartsOperations, dartsSpace } from "./darts/space.js";
import { nasBench201 } from "./nas-bench-201/space.js";
import { allSpaces, architectureOf, findSpace, registerSpace, usualSpace } from "./registry.js";

test("the built-in spaces are there, DARTS where nothing says which", () => {
  expect(allSpaces()).toEqual([darts, nasBench201]);
  expect(usualSpace).toBe(darts);
  expect(findSpace("darts")).toBe(darts);
  expect(findSpace("nas-bench-201")).toBe(nasBench201);
});

test("an unknown name is refused with the nearest one, and with how others come in", async () => {
  await expectError(
    () => findSpace("nas-bench-101"),
    "CONFIG_VALUE",
    '--space: expected a known search space, got "nas-bench-101"',
    "nas-bench-201",
    "--plugin FILE",
  );
  for (const name of ["", "DARTS", "toString", "__proto__"])
    await expectError(() => findSpace(name), "CONFIG_VALUE", "expected a known search space");
});

test("genotypes are read by the space that they name", () => {
  for (const space of [darts, nasBench201])
    for (const { selection } of Object.values(space.named))
      expect(architectureOf(space.toGenotype(selection))).toEqual({ space, selection });
});

describe("a space of one's own", () => {
  const few = dartsSpace({
    name: "few",
    description: "three operations",
    operations: dartsOperations.slice(0, 3),
  });
  const selection = few.choices.map(() => [0, 4]);

  test("is unknown before, and afterwards found by its name and by genotypes", async () => {
    await expectError(() => architectureOf(few.toGenotype(selection)), "GENOTYPE_INVALID", 'got "few"');
    registerSpace(few);
    expect(findSpace("few")).toBe(few);
    expect(allSpaces()).toEqual([darts, nasBench201, few]);
    expect(architectureOf(few.toGenotype(selection))).toEqual({ space: few, selection });
    registerSpace(few);
    expect(allSpaces()).toHaveLength(3);
  });

  test("cannot take a name that there is", async () => {
    for (const name of ["darts", "nas-bench-201", "few"])
      await expectError(
        () => registerSpace({ ...dartsSpace({ name, description: "", operations: dartsOperations }) }),
        "PLUGIN_INVALID",
        `space ${name}: expected a name of its own, there is one of that name`,
      );
    expect(findSpace("darts")).toBe(darts);
    expect(findSpace("few")).toBe(few);
  });
});

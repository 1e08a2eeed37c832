// DARTS against the same computation in PyTorch: one pass, five steps, and what is kept of alpha.
import { describe } from "vitest";
import { itAgreesWithPyTorch, itDiscretisesAsTheTable } from "../../../test/support/golden-dense.js";
import { DenseSearch } from "./search.js";

describe("passes and steps of DARTS", () =>
  itAgreesWithPyTorch("darts", (context) => new DenseSearch(context)));
describe("what DARTS keeps", () => itDiscretisesAsTheTable("darts"));

// PC-DARTS against the same computation in PyTorch: one pass, five steps, and what is kept of alpha and beta.
import { describe } from "vitest";
import { itAgreesWithPyTorch, itDiscretisesAsTheTable } from "../../../test/support/golden-dense.js";
import { PcDartsSearch } from "./search.js";

describe("passes and steps of PC-DARTS", () =>
  itAgreesWithPyTorch("pc-darts", (context) => new PcDartsSearch(context)));
describe("what PC-DARTS keeps", () => itDiscretisesAsTheTable("pc-darts"));

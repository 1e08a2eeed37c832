// Tests of the order of writes when some fail for a time.
import { beforeEach, describe, expect, it } from "vitest";
import { failure } from "../../test/support/failure.js";
import { type ErrorCode, IstaError } from "../base/errors.js";
import { WaitingWrites } from "./waiting-writes.js";

let done: string[];
let warnings: string[];
let trouble: ErrorCode | null;
let writes: WaitingWrites;
beforeEach(() => {
  done = [];
  warnings = [];
  trouble = null;
  writes = new WaitingWrites((text) => warnings.push(text));
});

function give(name: string, what = name): void {
  writes.do(name, () => {
    if (trouble !== null) throw new IstaError(trouble, `write ${name}: no`);
    done.push(what);
  });
}

describe("writes", () => {
  it("are done at once, in the order in which they come", () => {
    for (const name of ["record", "best", "last"]) give(name);
    expect(done).toEqual(["record", "best", "last"]);
    expect(warnings).toEqual([]);
  });

  it("wait while they fail, and go before what comes after them", () => {
    give("record 1");
    trouble = "FILE_DISK_FULL";
    give("record 2");
    give("best");
    give("last");
    expect(done).toEqual(["record 1"]);
    expect(warnings).toEqual(
      Array(3).fill("not saved, the run goes on and tries again later: FILE_DISK_FULL write record 2: no"),
    );
    trouble = null;
    give("record 3");
    expect(done).toEqual(["record 1", "record 2", "best", "last", "record 3"]);
    expect(warnings.at(-1)).toContain("there is room again");
    give("last");
    expect(warnings).toHaveLength(4);
  });

  it("that come again take the place of those that wait, at the end of the row", () => {
    trouble = "FILE_READ_ONLY";
    give("best", "best of epoch 1");
    give("record 2");
    give("best", "best of epoch 2");
    trouble = null;
    writes.finish();
    expect(done).toEqual(["record 2", "best of epoch 2"]);
  });

  it("that are still missing at the end are named", () => {
    trouble = "FILE_DISK_FULL";
    for (const name of ["record 2", "best", "old"]) give(name);
    writes.forget("old");
    const { code, message } = failure(() => writes.finish());
    expect(code).toBe("FILE_DISK_FULL");
    expect(message).toContain("write record 2: no; not saved: record 2, best; ");
    trouble = null;
    writes.finish();
    expect(done).toEqual(["record 2", "best"]);
  });

  it("that fail for good are errors, and so is trouble that nobody is told of", () => {
    trouble = "RUN_GONE";
    expect(failure(() => give("last")).code).toBe("RUN_GONE");
    writes = new WaitingWrites(null);
    trouble = "FILE_DISK_FULL";
    expect(failure(() => give("last")).code).toBe("FILE_DISK_FULL");
  });
});

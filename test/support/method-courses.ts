// Small courses of every method in both spaces, for tests of what all methods do.
import type { SearchCourse } from "../../src/course/search.js";
import { type SearchFlags, startSearch } from "./courses.js";

export const spaceNames = ["darts", "nas-bench-201"] as const;

/** A search of 3 cells, 4 steps an epoch, on 32 training images and 32 held-out ones. */
export const smallSearch = (method: string, space: string, flags: SearchFlags = {}): Promise<SearchCourse> =>
  startSearch({ method, space, ...(method === "pc-darts" ? { channels: 4 } : {}), ...flags });

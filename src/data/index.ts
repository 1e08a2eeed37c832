// What the data floor offers to the floors above.

export type * from "./types.js";

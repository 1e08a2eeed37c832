// The options of random search.
import { z } from "zod";
import { count } from "../../config/schema.js";

export const randomOptions = {
  candidates: count(
    "architectures that are drawn and trained; each gets an equal part of the epochs",
  ).default(8),
};

const randomSchema = z.object(randomOptions);
export type RandomOptions = z.output<typeof randomSchema>;

// The options of single path one-shot search; those of the evolution as in Guo et al. 2020 (arXiv 1904.00420), section 4.
import { z } from "zod";
import { count } from "../../config/schema.js";

export const sposOptions = {
  evaluations: count("architectures that the evolution looks at after the last epoch").default(300),
  population: count("architectures of a generation of the evolution", 2).default(50),
  survivors: count("best architectures so far that those of the next generation descend from", 1).default(10),
  mutationProbability: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe("probability with which a mutation exchanges a candidate"),
  statisticsBatches: count(
    "training batches from which batch-norm statistics of an architecture are computed before it is evaluated",
  ).default(4),
};

const sposSchema = z.object(sposOptions);
export type SposOptions = z.output<typeof sposSchema>;

// What a space must keep to, looked at once when a plug-in adds one: its faults would show late and look like others.
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { candidateSizes, countNetwork, sizeOfSelection } from "./counts.js";
import { layersWithWeights } from "./graph.js";
import { isRegistered } from "./operation.js";
import {
  evaluationNetwork,
  type NetworkShape,
  randomSelection,
  type Space,
  sameSelection,
  superNetwork,
  validateSelection,
} from "./space.js";
import { tensorList } from "./tensors.js";

const drawnArchitectures = 3;

/** A size that networks of the space should have no trouble with. */
const usualShape = ({ usualSize }: Space): NetworkShape => ({
  ...usualSize.search,
  inputChannels: 3,
  classes: 10,
  imageHeight: 32,
  imageWidth: 32,
  stem: "cifar",
  auxiliary: false,
});

/** @throws IstaError PLUGIN_INVALID saying what was expected and what came; what the space's own functions throw */
export function checkSpace(space: Space): void {
  const refuse = (what: string): never => {
    throw new IstaError("PLUGIN_INVALID", `space ${String(space?.name)}: ${what}`);
  };
  try {
    checkParts(space, refuse);
  } catch (cause) {
    if (cause instanceof IstaError) throw cause;
    // What a part that is missing or of another form makes of the rest.
    refuse(`expected all that a Space has, got one that fails with ${String(cause)}`);
  }
}

function checkParts(space: Space, refuse: (what: string) => never): void {
  if (typeof space?.name !== "string" || !/^[\w.-]{1,60}$/.test(space.name))
    refuse("expected a name of letters, digits, dots and dashes");
  const { choices = [] } = space;
  if (choices.length === 0) refuse("expected choices, got none");
  if (new Set(choices.map(({ id }) => id)).size !== choices.length)
    refuse("expected a different id for each choice");
  for (const { id, candidates, kept, distinctPredecessors } of choices) {
    const unknown = candidates.find(({ operation }) => !isRegistered(operation));
    if (unknown !== undefined)
      refuse(
        `expected operations that are known (registerOperations), got ${unknown.operation} in choice ${id}`,
      );
    const most = distinctPredecessors
      ? new Set(candidates.map(({ predecessor }) => predecessor)).size
      : candidates.length;
    if (!Number.isInteger(kept) || kept < 1 || kept > most)
      refuse(`expected choice ${id} to keep 1 to ${most} candidates, got ${kept}`);
  }
  checkNetworks(space, refuse);
}

function checkNetworks(space: Space, refuse: (what: string) => never): void {
  const shape = usualShape(space);
  const norms = space.norms.oneStageSuperNet;
  const sizes = candidateSizes(space, shape, norms);
  for (let draw = 0; draw < drawnArchitectures; draw++) {
    const selection = randomSelection(space, RandomStream.named(draw, "check of a space"));
    validateSelection(space, selection);
    const genotype: unknown = JSON.parse(JSON.stringify(space.toGenotype(selection)));
    if (!sameSelection(space.fromGenotype(genotype), selection))
      refuse(
        `expected fromGenotype to read what toGenotype writes, got another architecture from ${JSON.stringify(genotype).slice(0, 200)}`,
      );
    const superNet = superNetwork(space, shape, norms, selection);
    const names = tensorList(superNet).map(({ name }) => name);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) refuse(`expected a name of its own for every tensor, got ${twice} twice`);
    const counted = countNetwork(superNet).params;
    const summed = sizeOfSelection(sizes, selection).params;
    if (counted !== summed)
      refuse(
        `expected sizes of candidates that add up (layers of a candidate belong into graph.branch), got ${summed} parameters instead of ${counted}`,
      );
    const evaluation = evaluationNetwork({ space, selection }, shape, space.norms.normalisedEvaluation);
    const kinds = [superNet, evaluation].map((network) =>
      layersWithWeights(space.graph(network))
        .map(({ kind }) => kind)
        .join(),
    );
    if (kinds[0] !== kinds[1])
      refuse(
        "expected the same layers in the one-stage super-net and in the normalised evaluation network, got others",
      );
  }
}

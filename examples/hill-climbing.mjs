// A method of one's own: hill climbing on shared weights. Each epoch trains the present architecture; at its end one choice is
// changed at random, and the change stays if the held-out loss under the same weights does not rise.
//
//   ista-nas search --plugin examples/hill-climbing.mjs --method hill-climbing --data bundled
import { count, drawWithin, requireHeldOut, z } from "ista-nas/methods";
import { RandomStream, randomSelection, superNetwork } from "ista-nas/space";

const draw = (space, seed, name) => randomSelection(space, RandomStream.named(seed, name));

const hillClimbing = {
  name: "hill-climbing",
  description: "changes one choice an epoch, and keeps the change if the held-out loss does not rise",
  options: {
    changesPerEpoch: count("changes that are tried at the end of an epoch").default(2),
    acceptEqual: z.boolean().default(true).describe("whether a change that leaves the loss as it is is kept"),
  },
  check: requireHeldOut,
  // Forward, gradients of what goes in and of the weights.
  passesPerStep: 3,
  plan: (space, shape) => superNetwork(space, shape, space.norms.twoStageSuperNet, draw(space, 0, "plan")),
  async load() {
    const { batchGradients, cosine, descend, evaluate, Network, scope } = await import("ista-nas");
    return (context) => {
      const { config, space, shape, sources, sgd, device } = context;
      let selection = drawWithin(context, RandomStream.named(config.seed, "hill-climbing/start"));
      let accepted = 0;
      const description = superNetwork(space, shape, space.norms.twoStageSuperNet, selection);
      const network = new Network(description, { seed: config.seed, device });
      const connect = (chosen) => {
        selection = chosen;
        network.connect(chosen);
      };
      return {
        network,
        phase: "search",
        epochCount: config.epochs,
        get selection() {
          return selection;
        },
        learningRate: (epoch) => cosine(epoch, config.epochs, config.learningRate, config.finalLearningRate),
        // Candidates count with 1: there are no weights of candidates.
        weights: () => new Map(),
        async step(epoch, index) {
          const batch = await sources.training.batch(epoch, index);
          const learningRate = this.learningRate(epoch);
          const place = { epoch, index, learningRate };
          return scope(() => {
            const inputs = [...network.trainable.values()];
            const found = batchGradients(network, batch, { training: true }, config, inputs, place);
            descend(network, sgd, found.gradients, { ...config, learningRate }, place);
            return found.figures;
          });
        },
        async endOfEpoch(epoch) {
          let { loss } = await evaluate(network, sources.validation);
          for (let change = 0; change < config.changesPerEpoch; change++) {
            const random = RandomStream.named(config.seed, `hill-climbing/epoch-${epoch}/change-${change}`);
            const other = randomSelection(space, random);
            const choice = random.integer(selection.length);
            const before = selection;
            const trial = selection.map((kept, index) => (index === choice ? other[index] : kept));
            if (!context.fits(trial)) continue;
            connect(trial);
            const found = await evaluate(network, sources.validation);
            if (found.loss < loss || (config.acceptEqual && found.loss === loss)) {
              loss = found.loss;
              accepted += 1;
            } else connect(before);
          }
          return { record: { acceptedChanges: accepted }, lines: [`  ${accepted} changes kept so far`] };
        },
        reachable: space.choices.map(({ candidates }) => candidates.map((_, index) => index)),
        save: () => ({ selection, accepted }),
        restore(state) {
          accepted = state.accepted;
          connect(state.selection);
        },
      };
    };
  },
};

export const methods = [hillClimbing];

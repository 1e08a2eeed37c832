// Options that say the size of a network whose size is counted.
import { type Command, Option } from "commander";
import type { NetworkShape, Space } from "../space/space.js";
import { wholeNumber } from "./model-options.js";

interface ShapeOptions {
  cells?: number;
  channels?: number;
  imageSize: number;
  inputChannels: number;
  classes: number;
  stem: NetworkShape["stem"];
}

export function addShapeOptions(command: Command): Command {
  return command
    .option("--cells <n>", "number of cells [usual in the space]", wholeNumber("--cells", 1))
    .option("--channels <n>", "channels of the first cell [usual in the space]", wholeNumber("--channels", 1))
    .option(
      "--image-size <n>",
      "height and width of the images in pixels",
      wholeNumber("--image-size", 4),
      32,
    )
    .option("--input-channels <n>", "channels of the images", wholeNumber("--input-channels", 1), 3)
    .option("--classes <n>", "number of classes", wholeNumber("--classes", 1), 10)
    .addOption(new Option("--stem <kind>", "first layers").choices(["cifar", "imagenet"]).default("cifar"));
}

/** The shape that the options say; without auxiliary head. */
export function shapeOf(command: Command, { usualSize }: Space): NetworkShape {
  const { imageSize, cells, channels, inputChannels, classes, stem } = command.opts<ShapeOptions>();
  const { train } = usualSize;
  return {
    ...{ cells: cells ?? train.cells, channels: channels ?? train.channels },
    ...{ imageHeight: imageSize, imageWidth: imageSize, inputChannels, classes, stem, auxiliary: false },
  };
}

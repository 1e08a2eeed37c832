// An image folder of 1,000 classes, with one training picture each, for networks of ImageNet's shape.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { picture } from "./data.js";

export const classCount = 1000;

/** @param tested how many of the classes have a picture in val/ */
export async function writeThousandClasses(folder: string, tested: number): Promise<void> {
  const pictures = await Promise.all(Array.from({ length: 8 }, (_, seed) => picture(280, 250, "jpeg", seed)));
  const write = (part: string, label: number): void => {
    const place = join(folder, part, `class-${String(label).padStart(4, "0")}`);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, "0.jpg"), pictures[label % pictures.length]);
  };
  for (let label = 0; label < classCount; label++) write("train", label);
  for (let index = 0; index < tested; index++) write("val", Math.floor((index * classCount) / tested));
}

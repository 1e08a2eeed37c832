// Names of the files of the MNIST family: MNIST, Fashion-MNIST, KMNIST, EMNIST, QMNIST.

const filePattern = /^((?:[\w-]+-)?)(train|t10k|test)-(images|labels)[-.]idx\d-(?:ubyte|int)(?:\.gz)?$/;

export interface IdxFile {
  readonly name: string;
  /** What stands in front, with its dash, such as `emnist-balanced-`; empty for MNIST's own names. */
  readonly prefix: string;
  readonly part: "train" | "test";
  readonly content: "images" | "labels";
}

/** The files that have such a name. */
export function idxFiles(names: readonly string[]): IdxFile[] {
  return names.flatMap((name) => {
    const match = filePattern.exec(name);
    if (match === null) return [];
    const [, prefix, part, content] = match;
    return [
      { name, prefix, part: part === "train" ? "train" : "test", content: content as IdxFile["content"] },
    ];
  });
}

/** The data sets that the names belong to, by what stands in front of them. */
export const idxSets = (names: readonly string[]): string[] => [
  ...new Set(idxFiles(names).map(({ prefix }) => prefix)),
];

/** EMNIST's pictures lie on their side: rows and columns are exchanged (Cohen et al., 2017, arXiv 1702.05373). */
export const isSideways = (prefix: string): boolean => prefix.startsWith("emnist-");

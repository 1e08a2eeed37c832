// The files of the page: markup and styles of the assets, compiled scripts, and uPlot as it is installed.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readFileLimited } from "../base/files.js";
import { packageFolder } from "../base/package.js";

const largestFile = 4 << 20;
const assets = join(packageFolder, "assets/dashboard");
const compiled = dirname(fileURLToPath(import.meta.url));

/** The modules of the page, by their places below dist/src/dashboard; each uses only those before it. */
const moduleNames = [
  "../base/terminal",
  "../base/format",
  ...[
    "verdicts",
    "series",
    "elements",
    "source",
    "charts",
    "strip",
    "list",
    "search-view",
    "run-view",
    "compare-view",
    "study-view",
    "main",
  ].map((name) => `page/${name}`),
];

/** As a browser resolves the imports: there is nothing above the root. */
const addressOf = (name: string): string => `/${name.replace("../", "")}.js`;

const uplot = (name: string): string =>
  join(dirname(createRequire(import.meta.url).resolve("uplot/package.json")), "dist", name);

/** The path in the page's address, and the file and its type. */
export const pageFiles: ReadonlyMap<string, { readonly path: string; readonly type: string }> = new Map([
  ["/", { path: join(assets, "index.html"), type: "text/html" }],
  ["/page.css", { path: join(assets, "page.css"), type: "text/css" }],
  ["/icon.svg", { path: join(assets, "icon.svg"), type: "image/svg+xml" }],
  ["/uplot.css", { path: uplot("uPlot.min.css"), type: "text/css" }],
  ["/uplot.js", { path: uplot("uPlot.iife.min.js"), type: "text/javascript" }],
  ...moduleNames.map(
    (name) => [addressOf(name), { path: join(compiled, `${name}.js`), type: "text/javascript" }] as const,
  ),
]);

/** @throws IstaError FILE_* */
export const readPageFile = (name: string): string =>
  readFileLimited(pageFiles.get(name)!.path, largestFile).toString("utf8");

/** All modules as one, for a page that is a single file: they have no two top-level names in common. */
export const joinedModules = (): string =>
  moduleNames
    .map((name) => readPageFile(addressOf(name)))
    .map((text) =>
      text
        .replace(/^import\s[^;]*;$/gm, "")
        .replace(/^export (?=(async |function|const|let|class))/gm, "")
        .replace(/^\/\/# sourceMappingURL=.*$/gm, ""),
    )
    .join("\n");

// The page: from the address after # to what is shown.
import { CompareView } from "./compare-view.js";
import { make, oncePerFrame, setText, type View } from "./elements.js";
import { RunList } from "./list.js";
import { RunView } from "./run-view.js";
import { openSource } from "./source.js";
import { StudyView } from "./study-view.js";

const byId = (id: string): HTMLElement => document.getElementById(id)!;

let view: View | null = null;
const source = openSource(oncePerFrame(() => update()));

function update(): void {
  view?.update();
  const words =
    source.saved !== null
      ? `Saved ${new Date(source.saved).toLocaleString()}`
      : source.trouble !== ""
        ? source.trouble
        : "live";
  setText(byId("connection"), words);
  byId("connection").className = source.trouble !== "" ? "lost" : source.saved !== null ? "saved" : "live";
}

function viewAt(hash: string): View {
  const [, kind = "", rest = ""] = /^#\/(run|compare|study)\/(.+)$/.exec(hash) ?? [];
  try {
    if (kind === "run") return new RunView(source, decodeURIComponent(rest));
    if (kind === "compare") return new CompareView(source, rest.split(",").map(decodeURIComponent));
    if (kind === "study") return new StudyView(source, decodeURIComponent(rest));
  } catch {
    // An address that somebody has typed.
  }
  return new RunList(source);
}

function go(): void {
  view?.close();
  view = viewAt(location.hash);
  source.show(view.wish.ids, view.wish.detailed);
  byId("view").replaceChildren(view.element);
  byId("trail").replaceChildren(...(view.trail === "" ? [] : [make("span", {}, view.trail)]));
  document.title = view.trail === "" ? "ista-nas" : `${view.trail} · ista-nas`;
  scrollTo(0, 0);
  update();
}

addEventListener("hashchange", go);
addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLInputElement && event.target.type === "search";
  if (event.key === "/" && !isTyping) {
    const filter = document.getElementById("filter");
    if (filter === null) return;
    event.preventDefault();
    filter.focus();
  }
  if (event.key === "Escape" && location.hash.length > 2) location.hash = "#/";
});
go();

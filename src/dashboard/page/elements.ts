// Making and changing elements. Texts are texts: nothing that comes from a run is ever read as markup.

type Child = Node | string | null;
type Properties = Readonly<Record<string, string | number | boolean | ((event: Event) => void) | null>>;

function give(element: Element, properties: Properties, children: readonly Child[]): void {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
}

/** An element with attributes, listeners (functions, by the name of the event) and children. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  give(element, properties, children);
  return element;
}

/** Sets a text where it is another one. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** A colour of the style sheet, as it is now. */
export const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Lines beside each other, told apart by colour-blind people (Okabe and Ito), the most different first. */
export const lineColours = ["line1", "line2", "line3", "line4", "line5", "line6", "line7"];

/** Also by dashes, where there are more lines than colours. */
export const lineDash = (index: number): number[] =>
  [[], [7, 4], [2, 3], [10, 3, 2, 3]][Math.floor(index / lineColours.length) % 4];

/** Calls back once a frame at most, however often it is asked. */
export function oncePerFrame(action: () => void): () => void {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      action();
    });
  };
}

/** What is shown in the middle of the window, as long as it is there. */
export interface View {
  readonly element: HTMLElement;
  /** Words for the bar at the top. */
  readonly trail: string;
  /** Runs whose records are wanted, and whether with codes. */
  readonly wish: { readonly ids: readonly string[]; readonly detailed: boolean };
  /** Shows what has come. */
  update(): void;
  close(): void;
}

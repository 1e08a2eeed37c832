// The confusion matrix as a picture: a row for each true class, a column for each class that was said.
import { escapeXml } from "./cells.js";

/** With more classes than this, cells carry no numbers; with more than the second, classes no names. */
const mostNumberedClasses = 30;
const mostNamedClasses = 100;

const style = `
text{font-family:system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,"DejaVu Sans",sans-serif;font-size:12px;fill:#1c2128}
.title{font-size:16px;font-weight:700}.note,.axis{fill:#59636e}.end{text-anchor:end}.middle{text-anchor:middle}
.panel{fill:#ffffff;stroke:#d1d9e0}.grid{fill:#f1f4f7}.cell{fill:#0072b2}.wrong{fill:#d55e00}.strong{fill:#ffffff}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.note,.axis{fill:#9198a1}.panel{fill:#161b22;stroke:#3d444d}.grid{fill:#21262d}}
`;

const margin = 28;
const labelGap = 8;
/** About the width of a letter of 12 pixels. */
const letterWidth = 6.8;

const shortened = (name: string): string => (name.length > 24 ? `${name.slice(0, 23)}…` : name);

/**
 * Blue on the diagonal, orange off it, the deeper the larger the share of the row's images.
 * @param confusion confusion[c][p]: images of class c that were taken for class p
 */
export function drawConfusionSvg(
  confusion: readonly (readonly number[])[],
  classes: readonly string[],
  title: string,
): string {
  const count = classes.length;
  const named = count <= mostNamedClasses;
  const numbered = count <= mostNumberedClasses;
  const side = numbered ? 40 : named ? 14 : Math.max(1, 900 / count);
  const names = classes.map(shortened);
  const labels = named ? Math.max(...names.map((name) => name.length)) * letterWidth + labelGap : 0;
  const left = margin + 22 + labels;
  const top = margin + 60;
  const extent = side * count;
  const total = confusion.flat().reduce((sum, value) => sum + value, 0);
  const right = confusion.reduce((sum, row, index) => sum + row[index], 0);
  const width = Math.max(left + extent + margin, 460);
  const height = top + extent + labels + margin + 22;
  const parts: string[] = [];
  for (const [row, values] of confusion.entries()) {
    const images = values.reduce((sum, value) => sum + value, 0);
    for (const [column, value] of values.entries()) {
      if (value === 0) continue;
      const share = value / images;
      const x = left + column * side;
      const y = top + row * side;
      const kind = row === column ? "cell" : "wrong";
      // The square root lets rare mistakes show.
      const opacity = Math.max(0.06, Math.sqrt(share)).toFixed(2);
      const tip = `${escapeXml(classes[row])} taken for ${escapeXml(classes[column])}: ${value} of ${images}`;
      parts.push(
        `<rect class="${kind}" x="${round(x)}" y="${round(y)}" width="${round(side)}" height="${round(side)}" fill-opacity="${opacity}"><title>${tip}</title></rect>`,
      );
      if (!numbered) continue;
      const ink = share > 0.3 ? " strong" : "";
      parts.push(
        `<text class="middle${ink}" x="${round(x + side / 2)}" y="${round(y + side / 2 + 4)}">${value}</text>`,
      );
    }
  }
  if (named) {
    for (const [index, name] of names.entries()) {
      const at = index * side + side / 2;
      const below = top + extent + labelGap;
      parts.push(
        `<text class="end" x="${round(left - labelGap)}" y="${round(top + at + 4)}">${escapeXml(name)}</text>`,
        `<text class="end" transform="translate(${round(left + at + 4)} ${round(below)}) rotate(-90)">${escapeXml(name)}</text>`,
      );
    }
  }
  const accuracy = total === 0 ? "" : `, ${((100 * right) / total).toFixed(2)} % right`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${round(width)}" height="${round(height)}" viewBox="0 0 ${round(width)} ${round(height)}" role="img">
<title>${escapeXml(title)}</title>
<style>${style}</style>
<rect class="panel" x="0.5" y="0.5" width="${round(width - 1)}" height="${round(height - 1)}" rx="12"/>
<text class="title" x="${margin}" y="${margin + 8}">${escapeXml(title.slice(0, 60))}</text>
<text class="note" x="${margin}" y="${margin + 30}">${total} images${accuracy} · depth of colour: share of the row</text>
<rect class="grid" x="${round(left)}" y="${top}" width="${round(extent)}" height="${round(extent)}"/>
<text class="axis middle" transform="translate(${margin + 8} ${round(top + extent / 2)}) rotate(-90)">true class</text>
<text class="axis middle" x="${round(left + extent / 2)}" y="${round(height - margin + 6)}">answer of the network</text>
${parts.join("\n")}
</svg>
`;
}

const round = (value: number): string => String(Math.round(value * 100) / 100);

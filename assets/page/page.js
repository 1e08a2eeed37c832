// Classifies pictures with the network of network.js, by onnxruntime-web, in this page alone: nothing is fetched, nothing is sent.
"use strict";

const { description, onnx } = globalThis.istaNetwork;
const { classes, shape } = description;
const shown = Math.min(5, classes.length);
const element = (id) => document.getElementById(id);

/** Bytes that were compressed with gzip and written as base64; a page from a folder may not fetch files. */
async function unpacked(base64) {
  const packed = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function startSession() {
  const { script, binary } = globalThis.istaRuntime;
  const code = new Blob([await unpacked(script)], { type: "text/javascript" });
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(code) };
  ort.env.wasm.wasmBinary = (await unpacked(binary)).buffer;
  return ort.InferenceSession.create(await unpacked(onnx), { executionProviders: ["wasm"], logSeverityLevel: 3 });
}

/** Upright RGBA bytes of a picture file; what is transparent is white. */
async function decode(blob) {
  const picture = await createImageBitmap(blob, { imageOrientation: "from-image" });
  const { width, height } = picture;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, 0);
  picture.close();
  return { rgba: context.getImageData(0, 0, width, height).data, width, height };
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

const session = startSession();

/** What the network says of a picture file (a Blob). */
async function classify(blob) {
  const { rgba, width, height } = await decode(blob);
  const pixels = networkPixels(rgba, width, height, description);
  const { inputChannels, imageHeight, imageWidth } = shape;
  const ready = await session;
  const started = performance.now();
  const input = new ort.Tensor("uint8", pixels, [1, inputChannels, imageHeight, imageWidth]);
  const results = await ready.run({ pixels: input });
  const milliseconds = performance.now() - started;
  return { pixels, width, height, milliseconds, probabilities: softmax(results.logits.data) };
}

/** What the network saw, as a canvas. */
function drawPixels(pixels) {
  const { inputChannels, imageHeight: height, imageWidth: width } = shape;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  const area = width * height;
  for (let i = 0; i < area; i++) {
    for (let channel = 0; channel < 3; channel++)
      image.data[4 * i + channel] = pixels[i + (inputChannels === 1 ? 0 : channel * area)];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.title = "what the network saw";
  return canvas;
}

function make(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function showResult(name, { pixels, width, height, milliseconds, probabilities }) {
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  const list = document.createElement("ol");
  for (const label of order.slice(0, shown)) {
    const bar = make("div", "bar");
    bar.style.width = `${100 * probabilities[label]}%`;
    const track = make("div", "track");
    track.append(bar);
    const row = document.createElement("li");
    const title = make("span", "name", classes[label]);
    title.title = classes[label];
    row.append(title, track, make("span", "share", percent(probabilities[label])));
    list.append(row);
  }
  const words = document.createElement("div");
  const note = `${name} · ${width} × ${height} pixels · ${milliseconds.toFixed(1)} ms`;
  words.append(make("h2", "", classes[order[0]]), make("p", "note", note), list);
  const card = make("li", "result");
  card.append(drawPixels(pixels), words);
  element("results").prepend(card);
}

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}

async function take(files) {
  const problems = [];
  for (const file of files) {
    say(`Looking at ${file.name}…`);
    try {
      showResult(file.name, await classify(file));
    } catch (error) {
      problems.push(`${file.name} is no picture that this browser can read (${error.message})`);
    }
  }
  say(problems.join("; "), problems.length > 0);
}

const drop = element("drop");
const stop = (event) => event.preventDefault();
document.addEventListener("dragover", (event) => {
  stop(event);
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  stop(event);
  drop.classList.remove("over");
  take([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => take([...event.clipboardData.files]));
element("file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = "";
});

const size = `${shape.imageWidth} × ${shape.imageHeight} pixels${shape.inputChannels === 1 ? ", grey" : ""}`;
const some = classes.slice(0, 12).join(", ");
element("about").textContent =
  `A network of ${shape.cells} cells that looks at ${size} and knows ${classes.length} classes: ${some}${classes.length > 12 ? ", …" : "."}`;
session.then(
  () => say(""),
  (error) => say(`The network could not be started: ${error.message}`, true),
);

/** For scripts and tests: what a picture file shows, and a promise of the loaded network. */
globalThis.istaPage = { classify, ready: session.then(() => true) };

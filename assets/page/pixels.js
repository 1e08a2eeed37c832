// From a decoded picture to the bytes that the network takes: scaling, centre crop, grey. The same steps as the program's own.
"use strict";

/** Linear light of the 256 sRGB values (IEC 61966-2-1). */
const linearLight = Float64Array.from({ length: 256 }, (_, value) => {
  const x = value / 255;
  return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
});

/** Luminance of RGBA bytes as one channel of bytes, weighted in linear light. */
function toGrey(rgba) {
  const grey = new Uint8ClampedArray(rgba.length / 4);
  for (let i = 0, from = 0; i < grey.length; i++, from += 4) {
    const y =
      0.2126 * linearLight[rgba[from]] + 0.7152 * linearLight[rgba[from + 1]] + 0.0722 * linearLight[rgba[from + 2]];
    grey[i] = 255 * (y <= 0.0031308 ? 12.92 * y : 1.055 * y ** (1 / 2.4) - 0.055);
  }
  return grey;
}

/** One channel of interleaved bytes. */
function channelOf(pixels, stride, offset) {
  const plane = new Float32Array(pixels.length / stride);
  for (let i = 0; i < plane.length; i++) plane[i] = pixels[i * stride + offset];
  return plane;
}

/**
 * Weights of one side: a triangle as wide as the step from pixel to pixel (bilinear with antialiasing).
 * Only the pixels `first` to `first + count - 1` of the scaled side are made.
 */
function triangleWeights(size, scaled, first, count) {
  const step = size / scaled;
  const reach = Math.max(1, step);
  return Array.from({ length: count }, (_, index) => {
    // libvips, which the program scales with, takes other positions where it enlarges.
    const centre = (first + index + (step < 1 ? 0 : 0.5)) * step - 0.5;
    const from = Math.max(0, Math.ceil(centre - reach));
    const to = Math.min(size - 1, Math.floor(centre + reach));
    const weights = [];
    let sum = 0;
    for (let i = from; i <= to; i++) {
      const weight = Math.max(0, 1 - Math.abs(i - centre) / reach);
      weights.push(weight);
      sum += weight;
    }
    return { from, weights: weights.map((weight) => weight / sum) };
  });
}

/** Scales a plane of width x height and takes the crop of the result; rounded as bytes. */
function scaledCrop(plane, width, height, { scaledWidth, scaledHeight, left, top, cropWidth, cropHeight }) {
  const columns = triangleWeights(width, scaledWidth, left, cropWidth);
  const rows = triangleWeights(height, scaledHeight, top, cropHeight);
  const tall = new Float32Array(height * cropWidth);
  for (let y = 0; y < height; y++) {
    for (const [x, { from, weights }] of columns.entries()) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * plane[y * width + from + k];
      tall[y * cropWidth + x] = sum;
    }
  }
  const out = new Uint8ClampedArray(cropWidth * cropHeight);
  for (const [y, { from, weights }] of rows.entries()) {
    for (let x = 0; x < cropWidth; x++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * tall[(from + k) * cropWidth + x];
      out[y * cropWidth + x] = sum;
    }
  }
  return out;
}

/**
 * Which part of a picture is seen: scaled so that it just covers `resizeRatio` times the size, the crop is taken out of its centre.
 */
function centreCrop(width, height, size, resizeRatio) {
  const scale = Math.max((size.width * resizeRatio) / width, (size.height * resizeRatio) / height);
  const scaledWidth = Math.max(size.width, Math.floor(width * scale + 1e-6));
  const scaledHeight = Math.max(size.height, Math.floor(height * scale + 1e-6));
  const left = Math.round((scaledWidth - size.width) / 2);
  const top = Math.round((scaledHeight - size.height) / 2);
  return { scaledWidth, scaledHeight, left, top, cropWidth: size.width, cropHeight: size.height };
}

/** All of the scaled picture. */
const whole = (width, height) => ({
  scaledWidth: width,
  scaledHeight: height,
  left: 0,
  top: 0,
  cropWidth: width,
  cropHeight: height,
});

/** The picture scaled to the size: so that it covers it (crop), fits into it (pad), or is it (stretch). */
function fitted(width, height, size, resizeRatio, fit) {
  if (fit === "crop") return centreCrop(width, height, size, resizeRatio);
  if (fit === "stretch") return whole(size.width, size.height);
  const scale = Math.min(size.width / width, size.height / height);
  const scaled = (side, most) => Math.min(most, Math.max(1, Math.round(side * scale)));
  return whole(scaled(width, size.width), scaled(height, size.height));
}

/** A plane with zeros around it, evenly on both sides. */
function padded(plane, from, to) {
  if (from.width === to.width && from.height === to.height) return plane;
  const out = new Uint8ClampedArray(to.width * to.height);
  const top = (to.height - from.height) >> 1;
  const left = (to.width - from.width) >> 1;
  for (let y = 0; y < from.height; y++)
    out.set(plane.subarray(y * from.width, (y + 1) * from.width), (top + y) * to.width + left);
  return out;
}

/** A plane of the size, every pixel the mean of a square of pixels. */
function averagedPlane(plane, { width, height }, factor) {
  if (factor === 1) return plane;
  const out = new Uint8ClampedArray(width * height);
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++) {
      let sum = 0;
      for (let y = 0; y < factor; y++)
        for (let x = 0; x < factor; x++) sum += plane[(row * factor + y) * width * factor + column * factor + x];
      out[row * width + column] = Math.round(sum / (factor * factor));
    }
  return out;
}

/**
 * RGBA bytes of a picture as planar bytes, channels x height x width, of the network that `network` describes
 * (`shape`, `resizeRatio`, `fit` and `preparation` as in model files).
 */
function networkPixels(rgba, width, height, { shape, resizeRatio, fit = "crop", preparation }) {
  const size = { width: shape.imageWidth, height: shape.imageHeight };
  const { content, averaged } = preparation ?? { content: size, averaged: 1 };
  const around = { width: size.width * averaged, height: size.height * averaged };
  let planes =
    shape.inputChannels === 1
      ? [channelOf(toGrey(rgba), 1, 0)]
      : [0, 1, 2].map((channel) => channelOf(rgba, 4, channel));
  // Photographs are reduced first, as the program does it.
  const useful = Math.max(512, 3 * Math.max(content.width, content.height)) / Math.min(width, height);
  if (useful < 1) {
    const reduced = whole(Math.round(width * useful), Math.round(height * useful));
    planes = planes.map((plane) => scaledCrop(plane, width, height, reduced));
    [width, height] = [reduced.scaledWidth, reduced.scaledHeight];
  }
  const crop = fitted(width, height, content, resizeRatio, fit);
  const seen = { width: crop.cropWidth, height: crop.cropHeight };
  const area = size.width * size.height;
  const pixels = new Uint8Array(planes.length * area);
  for (const [index, plane] of planes.entries()) {
    const fittedPlane = padded(scaledCrop(plane, width, height, crop), seen, content);
    pixels.set(averagedPlane(padded(fittedPlane, content, around), size, averaged), index * area);
  }
  return pixels;
}

globalThis.networkPixels = networkPixels;

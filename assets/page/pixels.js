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
 * Which part of a picture the network sees: it is scaled so that it just covers `resizeRatio` times the network's size,
 * and the crop is taken out of its centre.
 */
function centreCrop(width, height, { imageWidth, imageHeight }, resizeRatio) {
  const scale = Math.max((imageWidth * resizeRatio) / width, (imageHeight * resizeRatio) / height);
  const scaledWidth = Math.max(imageWidth, Math.floor(width * scale + 1e-6));
  const scaledHeight = Math.max(imageHeight, Math.floor(height * scale + 1e-6));
  const left = Math.round((scaledWidth - imageWidth) / 2);
  const top = Math.round((scaledHeight - imageHeight) / 2);
  return { scaledWidth, scaledHeight, left, top, cropWidth: imageWidth, cropHeight: imageHeight };
}

/**
 * RGBA bytes of a picture as planar bytes, channels x height x width, of the network that `network` describes
 * (`shape` and `resizeRatio` as in model files).
 */
function networkPixels(rgba, width, height, { shape, resizeRatio }) {
  const crop = centreCrop(width, height, shape, resizeRatio);
  const planes =
    shape.inputChannels === 1
      ? [channelOf(toGrey(rgba), 1, 0)]
      : [0, 1, 2].map((channel) => channelOf(rgba, 4, channel));
  const area = shape.imageWidth * shape.imageHeight;
  const pixels = new Uint8Array(planes.length * area);
  for (const [index, plane] of planes.entries()) pixels.set(scaledCrop(plane, width, height, crop), index * area);
  return pixels;
}

globalThis.networkPixels = networkPixels;

// Event files read back by an independent reader.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeMessage, eventRecords, referenceChecksum } from "../../test/support/tensorboard.js";
import { encodeHeader, encodeStep, maskedChecksum, type Shown } from "./tensorboard.js";

const shownAt = (step: number, ...shown: Shown[]) =>
  decodeMessage("Event", eventRecords(encodeStep(12.5, step, shown))[0]);

it("checksums are those of the published vectors", () => {
  // RFC 3720, B.4: 32 bytes of zeros, of ones, and counting up.
  const unmasked = (value: number): number => {
    const rotated = (value - 0xa282ead8) >>> 0;
    return ((rotated >>> 17) | (rotated << 15)) >>> 0;
  };
  expect(unmasked(maskedChecksum(new Uint8Array(32)))).toBe(0x8a9136aa);
  expect(unmasked(maskedChecksum(new Uint8Array(32).fill(255)))).toBe(0x62a8ab43);
  expect(unmasked(maskedChecksum(Uint8Array.from({ length: 32 }, (_, i) => i)))).toBe(0x46dd794e);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(maskedChecksum(bytes)).toBe(referenceChecksum(bytes));
    }),
    { seed: 1 },
  );
});

describe("a file", () => {
  it("begins with its version", () => {
    expect(decodeMessage("Event", eventRecords(encodeHeader(3))[0])).toEqual({
      wallTime: 3,
      fileVersion: "brain.Event:2",
    });
  });

  it("has scalars and images at their step", () => {
    const png = Uint8Array.of(1, 2, 3);
    const event = shownAt(
      7,
      { kind: "scalar", tag: "loss", value: 0.5 },
      { kind: "image", tag: "cells", width: 4, height: 5, png },
    );
    expect(event).toMatchObject({ wallTime: 12.5, step: 7 });
    expect(event.summary.value[0]).toEqual({ tag: "loss", simpleValue: 0.5 });
    const { image } = event.summary.value[1];
    expect({ ...image, encodedImageString: [...image.encodedImageString] }).toEqual({
      ...{ height: 5, width: 4, colorspace: 4, encodedImageString: [1, 2, 3] },
    });
  });

  it("has texts and hyper-parameters as their plug-ins want them", () => {
    const values = { seed: 3, method: "darts", nesterov: true };
    const { value } = shownAt(
      0,
      { kind: "text", tag: "genotype", text: "`a` größer" },
      { kind: "hyper-parameters", values },
    ).summary;
    expect(value[0].metadata.pluginData.pluginName).toBe("text");
    expect(value[0].tensor).toMatchObject({ dtype: 7, tensorShape: {} });
    expect(value[0].tensor.stringVal[0].toString()).toBe("`a` größer");
    expect(value[1].tag).toBe("_hparams_/session_start_info");
    const { content } = value[1].metadata.pluginData;
    expect(decodeMessage("HParamsPluginData", content).sessionStartInfo).toEqual({
      hparams: { seed: { numberValue: 3 }, method: { stringValue: "darts" }, nesterov: { boolValue: true } },
      startTimeSecs: 12.5,
    });
  });

  it("has histograms whose buckets count every value once", () => {
    const finite = fc.double({ min: -1e6, max: 1e6, noNaN: true });
    const property = fc.property(fc.array(finite, { minLength: 1, maxLength: 200 }), (values) => {
      const { histo } = shownAt(1, { kind: "histogram", tag: "codes", values }).summary.value[0];
      const { bucket, bucketLimit, num, min = 0, max = 0, sum = 0 } = histo;
      expect(num).toBe(values.length);
      expect(bucket.reduce((total: number, count: number) => total + count, 0)).toBe(values.length);
      expect([min, max]).toEqual([Math.min(...values), Math.max(...values)].map((value) => value + 0));
      expect(sum).toBeCloseTo(
        values.reduce((total, value) => total + value),
        3,
      );
      expect(bucketLimit).toEqual([...bucketLimit].sort((a, b) => a - b));
      expect(bucketLimit.at(-1)).toBe(max);
    });
    fc.assert(property, { numRuns: 100, seed: 1 });
  });
});

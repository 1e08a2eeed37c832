// Walks over pixels whose channels are contiguous: two vectors of channels at a time, in blocks of pixels that stay in the first-level cache.
#pragma once

#include "vector.h"

namespace ista {
namespace ISTA_VECTOR_CODE {

// Channel vectors that are all there.
template <int count>
struct WholeVectors {
  static constexpr int kVectors = count;
  Vector read(const float* address) const { return load(address); }
  void write(float* address, Vector value) const { store(address, value); }
};

// The last vector of a channel count that is no multiple of the lanes.
struct FirstLanes {
  static constexpr int kVectors = 1;
  int count;
  Vector read(const float* address) const { return load_first(address, count); }
  void write(float* address, Vector value) const { store_first(address, value, count); }
};

// body(first pixel, number of pixels, first channel, lanes) for all pixels and channels, `lanes` being WholeVectors or FirstLanes. What
// belongs to the channels is loaded once per block, and a block's cache lines come from further away once only.
template <class Body>
void for_pixel_blocks(int pixels, int channels, const Body& body) {
  constexpr int kBlockFloats = 2048, kTogether = 2;
  const int block = channels <= kTogether * kLanes ? pixels : larger(16, kBlockFloats / channels);
  for (int first = 0; first < pixels; first += block) {
    const int count = smaller(block, pixels - first);
    int channel = 0;
    for (; channel + kTogether * kLanes <= channels; channel += kTogether * kLanes) body(first, count, channel, WholeVectors<kTogether>{});
    if (channel + kLanes <= channels) {
      body(first, count, channel, WholeVectors<1>{});
      channel += kLanes;
    }
    if (channel < channels) body(first, count, channel, FirstLanes{channels - channel});
  }
}

// The vectors of per-channel values that go with `lanes`.
template <class Lanes>
struct ChannelValues {
  Vector at[Lanes::kVectors];
  explicit ChannelValues(Vector value) {
    unroll<Lanes::kVectors>([&](auto v) { at[v] = value; });
  }
  explicit ChannelValues(const float* values) {
    unroll<Lanes::kVectors>([&](auto v) { at[v] = load(values + v * kLanes); });
  }
};

}  // namespace ISTA_VECTOR_CODE
}  // namespace ista

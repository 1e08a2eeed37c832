// Work over the images of a batch in fixed chunks, so that sums over chunks come out the same whatever the number of threads.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>

#include "scratch.h"

namespace ista {

// Each chunk has its own partial sums: more chunks feed more threads but make more sums to add.
constexpr int kMaxChunks = 32;

struct Chunks {
  explicit Chunks(int images) : images(images), count(std::min(images, kMaxChunks)) {}
  int begin(int chunk) const { return static_cast<int>(static_cast<int64_t>(images) * chunk / count); }
  int images, count;
};

// body(chunk, first image, end, arena of the thread).
template <class Body>
void for_chunks(int images, const Body& body) {
  const Chunks chunks(images);
  at::parallel_for(0, chunks.count, 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; ++chunk) {
      body(static_cast<int>(chunk), chunks.begin(chunk), chunks.begin(chunk + 1), Arena::of_thread());
    }
  });
}

// One partial sum of `size` floats per chunk.
class PartialSums {
 public:
  PartialSums() = default;
  PartialSums(int images, size_t size) : size_(size), values_(Chunks(images).count * size) {}
  float* chunk(int chunk) { return values_.data() + chunk * size_; }
  // The sum over the chunks, in their order.
  AlignedFloats total() const {
    AlignedFloats sum(size_);
    for (size_t start = 0; start < values_.size(); start += size_) {
      for (size_t i = 0; i < size_; ++i) sum[i] += values_[start + i];
    }
    return sum;
  }

 private:
  size_t size_ = 0;
  AlignedFloats values_;
};

}  // namespace ista

// Work over the images of a batch in fixed chunks, so that sums over chunks come out the same whatever the number of threads.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

#include "scratch.h"
#include "workers.h"

namespace ista {

// Each chunk has its own partial sums: more chunks feed more threads but make more sums to add.
constexpr int kMaxChunks = 32;

struct Chunks {
  explicit Chunks(int images) : images(images), count(std::min(images, kMaxChunks)) {}
  int begin(int chunk) const { return static_cast<int>(static_cast<int64_t>(images) * chunk / count); }
  int images, count;
};

// body(begin, end) on ranges of [0, count), in as many threads as libtorch uses.
template <class Body>
void for_ranges(int64_t count, const Body& body) {
  const int parts = static_cast<int>(std::min<int64_t>(count, at::get_num_threads()));
  if (parts <= 1) {
    if (count > 0) body(0, count);
    return;
  }
  const auto part_of = [&](int part) { body(count * part / parts, count * (part + 1) / parts); };
  run_parts(parts, [](const void* context, int part) { (*static_cast<decltype(&part_of)>(context))(part); }, &part_of);
}

// body(chunk, first image, end, arena of the thread). Threads take the chunks as they come to them: one that is held up by other work
// of the machine holds up nobody.
template <class Body>
void for_chunks(int images, const Body& body) {
  const Chunks chunks(images);
  std::atomic<int> next{0};
  for_ranges(std::min(chunks.count, at::get_num_threads()), [&](int64_t, int64_t) {
    for (int chunk; (chunk = next.fetch_add(1)) < chunks.count;) {
      body(chunk, chunks.begin(chunk), chunks.begin(chunk + 1), Arena::of_thread());
    }
  });
}

// One partial sum of `size` floats per chunk.
class PartialSums {
 public:
  PartialSums() = default;
  PartialSums(int images, size_t size)
      : size_(size), count_(Chunks(images).count * size), values_(count_ > 0 ? allocate_floats(count_) : nullptr) {}
  // The sums of a chunk, which its thread sets to zero before it adds to them.
  float* start(int chunk) {
    float* sums = values_.get() + chunk * size_;
    std::memset(sums, 0, size_ * sizeof(float));
    return sums;
  }
  // The sum over the chunks, in their order.
  AlignedFloats total() const {
    constexpr size_t kBlock = 4096;
    AlignedFloats sum(size_);
    float* const out = sum.data();
    const VectorCode& code = vector_code();
    for_ranges((size_ + kBlock - 1) / kBlock, [&](int64_t first, int64_t last) {
      for (size_t begin = first * kBlock; begin < std::min(size_, last * kBlock); begin += kBlock) {
        const size_t end = std::min(size_, begin + kBlock);
        for (size_t chunk = 0; chunk < count_; chunk += size_) {
          code.arrays.add(out + begin, values_.get() + chunk + begin, end - begin);
        }
      }
    });
    return sum;
  }

 private:
  size_t size_ = 0, count_ = 0;
  std::unique_ptr<float, FreeDeleter> values_;
};

}  // namespace ista

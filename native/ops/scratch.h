// Aligned temporary memory: owned arrays, and a per-thread arena that is reused from call to call.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "vector_code.h"

namespace ista {

struct FreeDeleter {
  void operator()(float* data) const { std::free(data); }
};

inline float* allocate_floats(size_t count) {
  const size_t bytes = (count * sizeof(float) + 63) / 64 * 64 + 64;
  float* data = static_cast<float*>(std::aligned_alloc(64, bytes));
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

// A zeroed array of floats, aligned to a cache line.
class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(size_t count) : size_(count), data_(allocate_floats(count)) {
    std::memset(data_.get(), 0, count * sizeof(float));
  }
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  size_t size() const { return size_; }
  float& operator[](size_t index) { return data_.get()[index]; }
  float operator[](size_t index) const { return data_.get()[index]; }

 private:
  size_t size_ = 0;
  std::unique_ptr<float, FreeDeleter> data_;
};

// Hands out uninitialised pieces one after the other; `reset` takes all of them back. Memory stays for the next use.
class Arena {
 public:
  float* floats(size_t count) {
    // Whole cache lines plus one, so that equal pieces do not fall on the same cache sets.
    const size_t needed = (count + 15) / 16 * 16 + 16;
    if (blocks_.empty() || used_ + needed > blocks_.back().count) {
      const size_t size = needed > kBlock ? needed : kBlock;
      blocks_.push_back({std::unique_ptr<float, FreeDeleter>(allocate_floats(size)), size});
      used_ = 0;
    }
    float* piece = blocks_.back().data.get() + used_;
    used_ += needed;
    total_ += needed;
    return piece;
  }
  float* zeros(size_t count) {
    float* piece = floats(count);
    std::memset(piece, 0, count * sizeof(float));
    return piece;
  }
  void reset() {
    if (blocks_.size() > 1) {
      // One block that is large enough next time.
      const size_t size = total_;
      blocks_.clear();
      blocks_.push_back({std::unique_ptr<float, FreeDeleter>(allocate_floats(size)), size});
    }
    used_ = total_ = 0;
  }
  // The calling thread's arena, emptied.
  static Arena& of_thread() {
    static thread_local Arena arena;
    arena.reset();
    return arena;
  }

 private:
  static constexpr size_t kBlock = size_t(1) << 18;
  struct Block {
    std::unique_ptr<float, FreeDeleter> data;
    size_t count;
  };
  std::vector<Block> blocks_;
  size_t used_ = 0, total_ = 0;
};

}  // namespace ista

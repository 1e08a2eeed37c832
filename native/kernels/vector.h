// The vector layer: as many floats as a register of the instruction set holds (AVX-512: 16, AVX2: 8, SSE2 and NEON: 4), on GCC's vector
// extension. Inline functions of the set's namespace rather than of each file alone: those the compiler puts in place too late here, and
// sums then live in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace ista {
namespace ISTA_VECTOR_CODE {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t VectorMask __attribute__((vector_size(kLanes * sizeof(float))));
// The same, at addresses that are only aligned to one float.
typedef float LooseVector __attribute__((vector_size(kLanes * sizeof(float)), aligned(sizeof(float)), may_alias));

inline Vector load(const float* address) { return *reinterpret_cast<const LooseVector*>(address); }
inline void store(float* address, Vector value) { *reinterpret_cast<LooseVector*>(address) = value; }
inline Vector splat(float value) { return value - Vector{}; }
// Keeps a loaded value in its register: the compiler would rather load it again for each of several products, and the load units are
// what is short.
inline Vector in_register(Vector value) {
#if defined(__x86_64__)
  asm("" : "+x"(value));
#elif defined(__aarch64__)
  asm("" : "+w"(value));
#endif
  return value;
}
// b where a is not a number, as the hardware does: maximum(zero, x) keeps x's. One instruction, unless the compiler knows a to be zero
// (and compares and masks instead): give it one that is in_register.
inline Vector maximum(Vector a, Vector b) { return a > b ? a : b; }

// The first `count` < kLanes floats; the remaining lanes are zero. Reads nothing beyond.
inline Vector load_first(const float* address, int count) {
#ifdef __AVX512F__
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), address);
#elif defined(__AVX2__)
  static const int32_t kMasks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  return _mm256_maskload_ps(address, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMasks + 8 - count)));
#else
  Vector value = {};
  for (int lane = 0; lane < count; ++lane) value[lane] = address[lane];
  return value;
#endif
}

// Writes the first `count` < kLanes floats and nothing beyond.
inline void store_first(float* address, Vector value, int count) {
#ifdef __AVX512F__
  _mm512_mask_storeu_ps(address, static_cast<__mmask16>((1u << count) - 1), value);
#else
  // Halves, quarters, single floats: masked stores are slow on some x86 machines, and absent elsewhere.
  const float* from = reinterpret_cast<const float*>(&value);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    if (count & half) {
      std::memcpy(address, from, half * sizeof(float));
      address += half;
      from += half;
    }
  }
#endif
}

// Asks for memory some steps ahead of `address`: processors fetch ahead themselves, but only within a page, and not for many streams.
inline void prefetch(const float* address, ptrdiff_t step) { __builtin_prefetch(address + 16 * step); }
inline void prefetch_to_write(const float* address, ptrdiff_t step) { __builtin_prefetch(address + 16 * step, 1); }

// A channel vector of a tensor whose last vector may be incomplete: `left` channels remain from this one on.
inline Vector load_channels(const float* address, int left) {
  return left >= kLanes ? load(address) : load_first(address, left);
}
inline void store_channels(float* address, Vector value, int left) {
  if (left >= kLanes) {
    store(address, value);
  } else {
    store_first(address, value, left);
  }
}

constexpr int rounded_up(int count) { return (count + kLanes - 1) / kLanes * kLanes; }

constexpr int smaller(int a, int b) { return b < a ? b : a; }
constexpr int larger(int a, int b) { return a < b ? b : a; }

// A number that is known when the kernel is compiled.
template <int number>
struct Constant {
  static constexpr int value = number;
  constexpr operator int() const noexcept { return number; }
};

// For functions whose lambdas keep arrays of vectors: the compiler must put the lambdas in place before it decides what lives in
// registers, or the arrays live in memory (sums then take twice as long).
#define ISTA_IN_PLACE __attribute__((flatten))

// Calls body(Constant<0>) ... (count - 1), so that arrays of vectors indexed by it live in registers.
template <class Body, int... index>
__attribute__((always_inline)) inline void unroll_sequence(Body&& body, std::integer_sequence<int, index...>) {
  (body(Constant<index>{}), ...);
}
template <int count, class Body>
__attribute__((always_inline)) inline void unroll(Body&& body) {
  unroll_sequence(body, std::make_integer_sequence<int, count>{});
}

}  // namespace ISTA_VECTOR_CODE
}  // namespace ista

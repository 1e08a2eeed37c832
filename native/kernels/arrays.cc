// Loops over whole arrays, which the compiler makes vectors of.
#include "tables.h"

namespace ista {
namespace ISTA_VECTOR_CODE {
namespace {

void add(float* sums, const float* values, size_t count) {
  for (size_t i = 0; i < count; ++i) sums[i] += values[i];
}

double sum_of_squares(const float* values, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]) * values[i];
  return sum;
}

void sgd(float* parameter, float* velocity, const float* gradient, int64_t count, SgdFactors factors) {
  const auto [clip, decay, rate, keep, nesterov] = factors;
  for (int64_t i = 0; i < count; ++i) {
    const float slope = clip * gradient[i] + decay * parameter[i];
    velocity[i] = keep * velocity[i] + slope;
    parameter[i] -= rate * (nesterov ? slope + keep * velocity[i] : velocity[i]);
  }
}

}  // namespace

const ArrayKernels kArrays{add, sum_of_squares, sgd};

}  // namespace ISTA_VECTOR_CODE
}  // namespace ista

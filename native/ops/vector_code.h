// Which of the kernels' vector code this process uses: the widest that the processor has, or what ISTA_NAS_VECTOR names.
#pragma once

#include <string>
#include <vector>

#include "../kernels/kernels.h"

namespace ista {

// Chosen at the first call. Throws std::invalid_argument where ISTA_NAS_VECTOR names none that this processor has.
const VectorCode& vector_code();
// The names of all that this processor has, the widest first.
std::vector<std::string> vector_codes();

// The least number of whole vectors' floats that has room for `count`.
inline int rounded_up(int count) {
  const int lanes = vector_code().lanes;
  return (count + lanes - 1) / lanes * lanes;
}

}  // namespace ista

// The choice of vector code.
#include "vector_code.h"

#include <cstdlib>
#include <stdexcept>

namespace ista {

// What kernels/code.cc defines for each instruction set.
namespace baseline {
extern const VectorCode kCode;
}
#ifdef __x86_64__
namespace avx2 {
extern const VectorCode kCode;
}
namespace avx512 {
extern const VectorCode kCode;
}
#endif

namespace {

struct Candidate {
  const char* name;
  // Null where the processor, or the operating system, lacks the instructions.
  const VectorCode* code;
};

// Of every name that ISTA_NAS_VECTOR may have, the widest first.
std::vector<Candidate> candidates() {
  const VectorCode *avx512_code = nullptr, *avx2_code = nullptr;
#ifdef __x86_64__
  // The instructions of kernels/x86_64/*.flags.
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx2) avx2_code = &avx2::kCode;
  if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    avx512_code = &avx512::kCode;
  }
#endif
  return {{"avx512", avx512_code}, {"avx2", avx2_code}, {"baseline", &baseline::kCode}};
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

const VectorCode& choose() {
  const char* wanted = std::getenv("ISTA_NAS_VECTOR");
  const bool any = wanted == nullptr || *wanted == '\0';
  std::vector<std::string> names;
  for (const Candidate& candidate : candidates()) {
    names.push_back(candidate.name);
    if (any ? candidate.code != nullptr : names.back() == wanted && candidate.code != nullptr) return *candidate.code;
    if (!any && names.back() == wanted) {
      throw std::invalid_argument("ISTA_NAS_VECTOR=" + names.back() + ": this processor has " + listed(vector_codes()) +
                                  " only; without the variable the widest is taken");
    }
  }
  throw std::invalid_argument("ISTA_NAS_VECTOR: expected one of " + listed(names) + ", got \"" + wanted + "\"");
}

}  // namespace

const VectorCode& vector_code() {
  static const VectorCode& chosen = choose();
  return chosen;
}

std::vector<std::string> vector_codes() {
  std::vector<std::string> names;
  for (const Candidate& candidate : candidates()) {
    if (candidate.code != nullptr) names.push_back(candidate.name);
  }
  return names;
}

}  // namespace ista

// Counters of the fused kernels: seconds, calls, floating-point operations and bytes per kind of work; off unless switched on.
#pragma once

#include <chrono>
#include <string>

namespace ista {

void profile_start();
// JSON: [{"name", "calls", "seconds", "gigaflop", "gigabytes"}, ...], longest first; switches the counters off.
std::string profile_report();
bool profile_enabled();

// Measures until it goes out of scope. Flops and bytes are what the work needs at least, not what was counted.
class ProfileScope {
 public:
  explicit ProfileScope(const char* name, double flops = 0, double bytes = 0)
      : name_(profile_enabled() ? name : nullptr), flops_(flops), bytes_(bytes) {
    if (name_ != nullptr) start_ = std::chrono::steady_clock::now();
  }
  ~ProfileScope();
  ProfileScope(const ProfileScope&) = delete;

 private:
  const char* name_;
  double flops_, bytes_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace ista

// Counters of the operators' work: seconds, calls, floating-point operations and bytes per kind; off unless switched on. They belong to
// the thread that switches them on, and count the operators that it calls (their backward passes on the CPU run in the same thread).
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace ista {

void profile_start();
// JSON: [{"name", "calls", "seconds", "gigaflop", "gigabytes"}, ...], longest first; switches the counters off.
std::string profile_report();
bool profile_enabled();

// Measures until it goes out of scope, which the name must outlive. Flops and bytes are what the work needs at least, not what was
// counted. To be made where an operator is called, not in the threads that its work is given to: those have counters of their own.
class ProfileScope {
 public:
  explicit ProfileScope(std::string_view name, double flops = 0, double bytes = 0)
      : enabled_(profile_enabled()), name_(name), flops_(flops), bytes_(bytes) {
    if (enabled_) start_ = std::chrono::steady_clock::now();
  }
  ~ProfileScope();
  ProfileScope(const ProfileScope&) = delete;

 private:
  bool enabled_;
  std::string_view name_;
  double flops_, bytes_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace ista

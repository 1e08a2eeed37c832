// Counters of the fused kernels, shared by all threads that call operators.
#include "profile.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <vector>

namespace ista {
namespace {

struct Counter {
  long calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
};
std::atomic<bool> enabled{false};
std::mutex mutex;
std::map<std::string, Counter> counters;

}  // namespace

bool profile_enabled() { return enabled.load(std::memory_order_relaxed); }

void profile_start() {
  const std::lock_guard<std::mutex> lock(mutex);
  counters.clear();
  enabled = true;
}

std::string profile_report() {
  enabled = false;
  const std::lock_guard<std::mutex> lock(mutex);
  std::vector<std::pair<std::string, Counter>> sorted(counters.begin(), counters.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  std::string json = "[";
  for (const auto& [name, counter] : sorted) {
    char line[256];
    std::snprintf(line, sizeof line,
                  "%s{\"name\":\"%s\",\"calls\":%ld,\"seconds\":%.6f,\"gigaflop\":%.3f,\"gigabytes\":%.3f}",
                  json.size() > 1 ? "," : "", name.c_str(), counter.calls, counter.seconds, counter.flops / 1e9,
                  counter.bytes / 1e9);
    json += line;
  }
  return json + "]";
}

ProfileScope::~ProfileScope() {
  if (name_ == nullptr) return;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const std::lock_guard<std::mutex> lock(mutex);
  Counter& counter = counters[name_];
  counter.calls += 1;
  counter.seconds += seconds;
  counter.flops += flops_;
  counter.bytes += bytes_;
}

}  // namespace ista

// Counters of the operators' work, one set per thread.
#include "profile.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <vector>

namespace ista {
namespace {

struct Counter {
  long calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
};

thread_local bool enabled = false;
thread_local std::map<std::string, Counter, std::less<>> counters;

}  // namespace

bool profile_enabled() { return enabled; }

void profile_start() {
  counters.clear();
  enabled = true;
}

std::string profile_report() {
  enabled = false;
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
  if (!enabled_) return;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  auto found = counters.find(name_);
  if (found == counters.end()) found = counters.emplace(name_, Counter{}).first;
  Counter& counter = found->second;
  counter.calls += 1;
  counter.seconds += seconds;
  counter.flops += flops_;
  counter.bytes += bytes_;
}

}  // namespace ista

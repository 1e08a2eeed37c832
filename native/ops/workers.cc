#include "workers.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace ista {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// The gaps between the operators of a step are shorter than this; falling asleep and being woken takes some 50 us.
constexpr auto kSpin = microseconds(1000);
// Nobody spins for longer than this for the last chunks of others: whoever has them may be waiting for a processor.
constexpr auto kSpinForEnd = microseconds(200);
// A spinning thread that sees the clock jump by as much had to give its processor up.
constexpr auto kJump = microseconds(300);
// For so long nobody spins then. Whoever comes back again and again stays away for longer each time; the system's own threads come once.
constexpr auto kShortestRest = milliseconds(50);
constexpr auto kLongestRest = milliseconds(1600);
constexpr auto kSoonAgain = milliseconds(25);

void pause_briefly() {
  for (int i = 0; i < 16; ++i) {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
}

// Whether somebody else was lately seen to want a processor that a thread of ours waited on.
class Neighbours {
 public:
  bool are_busy(Clock::time_point now) const { return now.time_since_epoch() < until_.load(std::memory_order_relaxed); }
  // Two threads that see something at once may both lengthen the rest, which does no harm.
  void seen(Clock::time_point now) {
    const bool again = now.time_since_epoch() < until_.load(std::memory_order_relaxed) + kSoonAgain;
    const Clock::duration rest = again ? std::min<Clock::duration>(2 * rest_.load(), kLongestRest) : kShortestRest;
    rest_.store(rest);
    until_.store(now.time_since_epoch() + rest, std::memory_order_relaxed);
  }

 private:
  std::atomic<Clock::duration> until_{Clock::duration::zero()}, rest_{kShortestRest};
};

Neighbours neighbours;

// A flag that threads wait for, first spinning, then asleep.
class Flag {
 public:
  void set(bool value) {
    value_.store(value);
    if (sleepers_.load() == 0) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    changed_.notify_all();
  }
  void wait_for(bool value, Clock::duration spin) {
    const Clock::time_point start = Clock::now();
    Clock::time_point last = start;
    while (!neighbours.are_busy(last) && last - start < spin) {
      if (value_.load() == value) return;
      pause_briefly();
      const Clock::time_point now = Clock::now();
      if (now - last > kJump) neighbours.seen(now);
      last = now;
    }
    if (value_.load() == value) return;
    std::unique_lock<std::mutex> lock(mutex_);
    ++sleepers_;
    changed_.wait(lock, [&] { return value_.load() == value; });
    --sleepers_;
  }

 private:
  std::atomic<bool> value_{false};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
};

class Worker {
 public:
  Worker() : thread_([this] { live(); }) {}
  ~Worker() {
    start(nullptr, nullptr, 0);
    thread_.join();
  }
  void start(void (*work)(const void*, int), const void* context, int part) {
    work_ = work;
    context_ = context;
    part_ = part;
    busy_.set(true);
  }
  // Returns what the work threw.
  std::exception_ptr finish() {
    busy_.wait_for(false, kSpinForEnd);
    return std::exchange(thrown_, nullptr);
  }

 private:
  void live() {
    while (true) {
      busy_.wait_for(true, kSpin);
      if (work_ == nullptr) return;
      try {
        work_(context_, part_);
      } catch (...) {
        thrown_ = std::current_exception();
      }
      busy_.set(false);
    }
  }

  void (*work_)(const void*, int) = nullptr;
  const void* context_ = nullptr;
  int part_ = 0;
  std::exception_ptr thrown_;
  Flag busy_;
  std::thread thread_;
};

}  // namespace

void run_parts(int parts, void (*work)(const void*, int), const void* context) {
  // Each thread that calls operators has workers of its own, which end with it.
  static thread_local std::vector<std::unique_ptr<Worker>> workers;
  while (static_cast<int>(workers.size()) < parts - 1) workers.push_back(std::make_unique<Worker>());
  for (int part = 1; part < parts; ++part) workers[part - 1]->start(work, context, part);
  std::exception_ptr thrown;
  try {
    work(context, 0);
  } catch (...) {
    thrown = std::current_exception();
  }
  for (int part = 1; part < parts; ++part) {
    std::exception_ptr other = workers[part - 1]->finish();
    if (!thrown) thrown = other;
  }
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace ista

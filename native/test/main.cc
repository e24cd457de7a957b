// Every kernel in every variant that this processor has, against the scalar one, on cases drawn at random; then memory that
// cannot be had, and threads that disturb each other; and the voxel loops, of which there is one variant. No JavaScript: a
// compiler for another processor, or a sanitizer, needs nothing else.
//
//   native-test [--cases N] [--seed N] [--threads-only] [--need isa]
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "cases.h"
#include "imaging.h"
#include "scratch.h"
#include "thread-pool.h"

namespace ctflow_test {

namespace {

using namespace ctflow;

int failures = 0;

// What runs now, for a signal: a guarded page was touched.
char current[400];

void note(const char* family, const char* isa, const std::string& what) {
  std::snprintf(current, sizeof current, "FAILED %s, %s: %s: touched memory that is not its own\n", family, isa, what.c_str());
}

[[maybe_unused]] void report_signal(int number) {
  const ssize_t written = write(STDERR_FILENO, current, std::strlen(current));
  static_cast<void>(written);
  std::signal(number, SIG_DFL);
  std::raise(number);
}

void report(const char* family, const char* isa, const std::string& what, const std::string& problem) {
  if (failures++ < 40) std::printf("FAILED %s, %s: %s: %s\n", family, isa, what.c_str(), problem.c_str());
}

Outputs with_threads(const Case& c, const Kernels& kernels, int threads) {
  set_thread_count(threads);
  thread_count();
  return c.compute(kernels);
}

// Cases `cases` of a family; a case is the same for any number of cases.
void compare(const Family& family, uint64_t seed, int cases) {
  std::vector<double> worst(static_cast<size_t>(variant_count()));
  std::vector<bool> ran(worst.size());
  for (int i = 0; i < cases; i++) {
    Random random(seed * 1000003 + static_cast<uint64_t>(i));
    const Case c = family.draw(random);
    const int many = random.chance(4) ? 16 : random.between(2, 5);
    note(family.name, "scalar", c.what);
    const Outputs expected = with_threads(c, variant(0), 1);
    for (int v = 0; v < variant_count(); v++) {
      const char* isa = variant(v).isa;
      note(family.name, isa, c.what);
      const Outputs one = v == 0 ? expected : with_threads(c, variant(v), 1);
      const Outputs several = with_threads(c, variant(v), many);
      for (size_t k = 0; k < expected.size(); k++) {
        const double away = distance(one[k], expected[k]);
        worst[static_cast<size_t>(v)] = std::fmax(worst[static_cast<size_t>(v)], away / expected[k].tolerance);
        if (!(away <= expected[k].tolerance))
          report(family.name, isa, c.what, std::string(expected[k].name) + " is off by " + std::to_string(away * 1e6) + " millionths");
        if (!same_bits(one[k], several[k]))
          report(family.name, isa, c.what, std::to_string(many) + " threads change bits of " + expected[k].name);
      }
    }
  }
  std::printf("%-12s %d cases; largest difference, in tolerances:", family.name, cases);
  for (int v = 1; v < variant_count(); v++) std::printf(" %s %.2f", variant(v).isa, worst[static_cast<size_t>(v)]);
  std::printf("\n");
}

// Each allocation of each kernel fails once: an exception, nothing else, and the next call is right.
void starve(const Family& family, uint64_t seed) {
  int refused = 0;
  for (int v = 0; v < variant_count(); v++)
    for (int i = 0; i < 3; i++) {
      Random random(seed + static_cast<uint64_t>(i));
      const Case c = family.draw(random);
      const Outputs expected = with_threads(c, variant(v), 2);
      for (int n = 0;; n++) {
        bool failed = false;
        fail_allocation(n);
        try {
          c.compute(variant(v));
        } catch (const std::bad_alloc&) {
          failed = true;
        }
        fail_allocation(-1);
        if (!failed) break;
        refused++;
        const Outputs again = c.compute(variant(v));
        for (size_t k = 0; k < expected.size(); k++)
          if (!same_bits(again[k], expected[k])) report(family.name, variant(v).isa, c.what, "wrong after an allocation that failed");
      }
    }
  std::printf("%-12s %d allocations refused\n", family.name, refused);
}

// Several callers at once, while another thread keeps changing how many threads there are: what a kernel holds for each
// worker must stay enough, so one case has work for many of them.
void disturb(uint64_t seed, int rounds) {
  std::vector<Case> cases{long_case()};
  for (const Family& family : families()) {
    Random random(seed);
    cases.push_back(family.draw(random));
  }
  const Kernels& kernels = variant(variant_count() - 1);
  std::vector<Outputs> expected;
  for (const Case& c : cases) expected.push_back(with_threads(c, kernels, 1));
  std::atomic<bool> over{false};
  std::atomic<int> wrong{0};
  std::thread changes([&] {
    for (int n = 1; !over; n = n % 9 + 1) {
      set_thread_count(n);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> callers;
  for (int t = 0; t < 3; t++)
    callers.emplace_back([&] {
      for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < cases.size(); i++) {
          const Outputs found = cases[i].compute(kernels);
          for (size_t k = 0; k < found.size(); k++)
            if (!same_bits(found[k], expected[i][k])) wrong++;
        }
    });
  for (std::thread& caller : callers) caller.join();
  over = true;
  changes.join();
  if (wrong > 0) report("threads", kernels.isa, "callers at once", std::to_string(wrong) + " results changed");
  std::printf("threads      3 callers, %d rounds of %zu kernels, %d results changed\n", rounds, cases.size(), wrong.load());
}

int run(int argc, char** argv) {
  uint64_t seed = 1;
  int cases = 60;
  bool threads_only = false;
  const char* needed = "scalar";
  for (int i = 1; i < argc; i++) {
    const std::string option = argv[i];
    if (option == "--threads-only")
      threads_only = true;
    else if (option == "--cases" && i + 1 < argc)
      cases = std::atoi(argv[++i]);
    else if (option == "--seed" && i + 1 < argc)
      seed = std::strtoull(argv[++i], nullptr, 10);
    else if (option == "--need" && i + 1 < argc)
      needed = argv[++i];
    else
      return std::printf("unknown option %s\n", argv[i]), 2;
  }
  std::printf("variants:");
  for (int v = 0; v < variant_count(); v++) std::printf(" %s", variant(v).isa);
  std::printf("; seed %llu\n", static_cast<unsigned long long>(seed));
  if (!select_isa(needed)) return std::printf("FAILED: there is no %s here\n", needed), 1;

  if (!threads_only)
    for (const Family& family : families()) compare(family, seed, cases);
  if (!threads_only)
    for (const Family& family : families()) starve(family, seed);
  if (!threads_only) failures += check_imaging();
  disturb(seed, 10);
  for (int v = 0; v < variant_count(); v++) {
    double gflops = 0;
    set_thread_count(2);
    const char* best = "";
    variant(v).peak_probe({0.01, &gflops, &best});
    if (!(gflops > 0)) report("peak", variant(v).isa, "0.01 seconds", "no result");
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ctflow_test

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  std::signal(SIGSEGV, ctflow_test::report_signal);
  std::signal(SIGBUS, ctflow_test::report_signal);
#endif
  return ctflow_test::run(argc, argv);
}

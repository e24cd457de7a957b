// Which variants exist in this build, which of them this processor can run, and which one is in use.
#include "kernels/table.h"

#include <atomic>
#include <cstring>

namespace ctflow {
namespace {

#define CTFLOW_SCALAR(op, Arguments) op##__scalar,
#define CTFLOW_AVX2(op, Arguments) op##__avx2,
#define CTFLOW_AVX512(op, Arguments) op##__avx512,
#define CTFLOW_NEON(op, Arguments) op##__neon,

#define CTFLOW_EMULATED(op, Arguments) op##__bfloat16,
#define CTFLOW_AVX512BF16(op, Arguments) op##__avx512bf16,

const Kernels kVariants[] = {
    {"scalar", CTFLOW_KERNELS(CTFLOW_SCALAR)},
#if defined(__x86_64__)
    {"avx2", CTFLOW_KERNELS(CTFLOW_AVX2)},
    {"avx512", CTFLOW_KERNELS(CTFLOW_AVX512)},
#elif defined(__aarch64__)
    {"neon", CTFLOW_KERNELS(CTFLOW_NEON)},
#endif
};

const Bfloat16Kernels kEmulatedBfloat16 = {CTFLOW_BFLOAT16_KERNELS(CTFLOW_EMULATED)};
#if defined(__x86_64__)
const Bfloat16Kernels kAvx512Bfloat16 = {CTFLOW_BFLOAT16_KERNELS(CTFLOW_AVX512BF16)};
#endif

int count_variants() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return avx512 ? 3 : 2;
#elif defined(__aarch64__)
  return 2;  // every 64-bit ARM has it
#else
  return 1;
#endif
}

std::atomic<int>& chosen() {
  static std::atomic<int> index{variant_count() - 1};
  return index;
}

}  // namespace

int variant_count() {
  static const int count = count_variants();
  return count;
}

const Kernels& variant(int i) { return kVariants[i]; }

const Kernels& kernels() { return kVariants[chosen().load(std::memory_order_relaxed)]; }

bool select_isa(const char* isa) {
  for (int i = 0; i < variant_count(); i++)
    if (std::strcmp(kVariants[i].isa, isa) == 0) {
      chosen().store(i, std::memory_order_relaxed);
      return true;
    }
  return false;
}

const Bfloat16Kernels& emulated_bfloat16_kernels() { return kEmulatedBfloat16; }

const Bfloat16Kernels* bfloat16_kernels() {
#if defined(__x86_64__)
  static const bool has = variant_count() == 3 && __builtin_cpu_supports("avx512bf16");
  return has ? &kAvx512Bfloat16 : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace ctflow

// In front of a loop of few iterations whose index must become a constant, so that its arrays are registers.
#pragma once

#if defined(__clang__)
#define CTFLOW_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CTFLOW_UNROLL _Pragma("GCC unroll 32")
#endif

// The instruction sets compiled in, best first.
#pragma once
#include "kernels.h"

namespace curtain {

// The index-th that this CPU has, or NULL.
const Kernels *available(int32_t index);

// By name, or the best if name is NULL; NULL if this CPU hasn't got it.
const Kernels *find_kernels(const char *name);

}  // namespace curtain

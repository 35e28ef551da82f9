#include "dispatch.h"

#include <string.h>

namespace curtain {
namespace {

const Kernels *const kAll[] = {
#if defined(__x86_64__)
    &vnni, &avx512, &avx2,
#elif defined(__aarch64__)
    &smmla, &sdot,
#endif
    &portable,
};

}  // namespace

const Kernels *available(int32_t index) {
    for (const Kernels *kernels : kAll) {
        if (kernels && kernels->supported() && index-- == 0) return kernels;
    }
    return nullptr;
}

const Kernels *find_kernels(const char *name) {
    for (int32_t i = 0;; i++) {
        const Kernels *kernels = available(i);
        if (!kernels || !name || !strcmp(kernels->name, name)) return kernels;
    }
}

}  // namespace curtain

// What an arm64 CPU has beyond the base architecture, as its system says: no file under /sys is read.
#pragma once
#if defined(__APPLE__)
#include <sys/sysctl.h>
#else
#include <sys/auxv.h>
#endif

namespace curtain {
namespace {

#if defined(__APPLE__)
bool has(const char *feature) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value;
}
bool has_dot_product() { return has("hw.optional.arm.FEAT_DotProd"); }
[[maybe_unused]] bool has_matrix_products() { return has_dot_product() && has("hw.optional.arm.FEAT_I8MM"); }
#else
// The bits are Linux's arch/arm64/include/uapi/asm/hwcap.h.
bool has_dot_product() { return getauxval(AT_HWCAP) & 1UL << 20; }
[[maybe_unused]] bool has_matrix_products() { return has_dot_product() && (getauxval(AT_HWCAP2) & 1UL << 13); }
#endif

}  // namespace
}  // namespace curtain

// Compares one instruction set's quantize and matmul with the portable ones, bit for bit, on random and extreme
// data: `harness sdot`. A line for every case, then a digest of all results, the same on every architecture.
// Linked with the kernels' own sources for whatever runs it: QEMU, or an emulation of the intrinsics.
#include "freestanding.h"
#include "kernels.h"

using curtain::Kernels, curtain::kBlock, curtain::kGroup, curtain::kPanel, curtain::kTail;

namespace {

enum Data { kRandom, kLargest, kTiny, kUnfit };
constexpr Data kAll[] = {kRandom, kLargest, kTiny, kUnfit};
const char *const kNames[] = {"random", "largest", "tiny", "unfit"};

struct Shape {
    int64_t columns, panels, tokens;
};

// Odd panels, tokens that fill no tile, columns that fill no run, and the widths of real models.
constexpr Shape kShapes[] = {{32, 1, 1},   {32, 2, 2},   {64, 3, 3},    {96, 1, 5},   {576, 5, 4},  {1024, 2, 9},
                             {1056, 3, 7}, {1536, 4, 1}, {1536, 1, 13}, {2048, 2, 8}, {2080, 2, 17}};

struct Results {
    int8_t *values;
    float *scales, *y;
    int32_t *sums;
};

uint64_t state;

uint32_t random_bits() {  // xorshift64*
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return static_cast<uint32_t>(state * 0x2545F4914F6CDD1DULL >> 32);
}

float random_float(float size) { return (static_cast<float>(random_bits()) / 4294967296.0f - 0.5f) * size; }

alignas(64) uint8_t memory[8 << 20];
int64_t used;  // of the memory: a case begins at 0

template <class T>
T *room(int64_t count) {
    uint8_t *found = memory + used;
    used += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    if (used > static_cast<int64_t>(sizeof memory)) __builtin_trap();
    memset(found, 0, static_cast<size_t>(count) * sizeof(T));
    return reinterpret_cast<T *>(found);
}

float activation(Data data) {
    const uint32_t bits = random_bits();
    switch (data) {
        case kRandom:
            return bits % 16 ? random_float(8) : 0;
        case kLargest:  // every product of one sign, or of either
            return (bits & 1 ? 1.0f : -1.0f) * (bits & 6 ? 3e37f : 1e37f);
        case kTiny:
            return random_float(bits & 1 ? 1e-38f : 1e-36f);
        case kUnfit:
            return bits % 64 ? random_float(2) : bits & 64 ? __builtin_inff() : __builtin_nanf("");
    }
    __builtin_trap();
}

uint8_t weight(Data data) {
    if (data == kLargest) return random_bits() % 8 ? 0x88 : 0x77;  // -8 and -8, or 7 and 7
    return static_cast<uint8_t>(random_bits());
}

uint16_t weight_scale(Data data) {  // bfloat16
    const uint32_t sign = random_bits() & 0x8000, fraction = random_bits() & 127;
    if (data == kLargest) return static_cast<uint16_t>(sign | 0x4200 | fraction);
    if (data == kTiny) return static_cast<uint16_t>(sign | fraction | (random_bits() & 1 ? 0x0080 : 0));
    return static_cast<uint16_t>(sign | (118 + random_bits() % 8) << 7 | fraction);
}

uint8_t *packed(Shape shape, Data data) {
    const int64_t groups = shape.columns / kGroup, bytes = groups * kBlock + kTail;
    uint8_t *matrix = room<uint8_t>(shape.panels * bytes);
    for (int64_t panel = 0; panel < shape.panels; panel++) {
        uint8_t *block = matrix + panel * bytes;
        for (int64_t group = 0; group < groups; group++, block += kBlock) {
            for (int i = 0; i < 128; i++) block[i] = weight(data);
            for (int row = 0; row < kPanel; row++) {
                const uint16_t scale = weight_scale(data);
                memcpy(block + 128 + 2 * row, &scale, sizeof scale);
            }
        }
        for (int row = 0; row < 2 * kPanel; row++) {
            const float value = random_float(4);  // the row sums, which no kernel here reads, and the biases
            memcpy(block + 4 * row, &value, sizeof value);
        }
    }
    return matrix;
}

Results run(const Kernels &kernels, Shape shape, const float *x, const uint8_t *matrix) {
    const int64_t scales = shape.tokens * shape.columns / kGroup;
    const int64_t stride = shape.panels * kPanel + 5;  // the rest must stay as it is
    const Results found = {room<int8_t>(shape.tokens * shape.columns), room<float>(scales),
                           room<float>(shape.tokens * stride), room<int32_t>(scales)};
    kernels.quantize(x, shape.tokens, shape.columns, found.values, found.scales, found.sums);
    kernels.matmul(matrix, shape.columns, shape.panels, {found.values, found.scales, found.sums}, shape.tokens,
                   found.y, stride);
    return found;
}

uint64_t digest(const void *data, int64_t size, uint64_t hash) {  // FNV-1a
    const uint8_t *bytes = static_cast<const uint8_t *>(data);
    for (int64_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * 0x100000001B3ULL;
    return hash;
}

// A NaN has many bit patterns, which CPUs choose differently.
uint64_t digest_floats(float *values, int64_t count, uint64_t hash) {
    constexpr uint32_t kNaN = 0x7fc00000;
    for (int64_t i = 0; i < count; i++) {
        if (__builtin_isnan(values[i])) memcpy(&values[i], &kNaN, sizeof kNaN);
    }
    return digest(values, count * 4, hash);
}

uint64_t digest(Results found, Shape shape, uint64_t hash) {
    const int64_t scales = shape.tokens * shape.columns / kGroup;
    hash = digest(found.values, shape.tokens * shape.columns, hash);
    hash = digest_floats(found.scales, scales, hash);
    hash = digest(found.sums, scales * 4, hash);
    return digest_floats(found.y, shape.tokens * (shape.panels * kPanel + 5), hash);
}

bool same(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

void say(const char *text) {
    size_t size = 0;
    while (text[size]) size++;
    write_out(text, size);
}

void say(uint64_t number, int base) {
    char text[24] = {};
    int at = 23;
    do text[--at] = "0123456789abcdef"[number % base];
    while (number /= base);
    say(text + at);
}

}  // namespace

extern "C" int start(long count, char **arguments) {
    const Kernels *const all[] = {KERNELS};
    const Kernels *kernels = nullptr;
    for (const Kernels *each : all) {
        if (count == 2 && same(each->name, arguments[1])) kernels = each;
    }
    if (!kernels) return say("usage: harness NAME\n"), 2;
    say(kernels->supported() ? "supported\n" : "not supported\n");  // which is tried all the same
    uint64_t total = 0xCBF29CE484222325ULL;
    int wrong = 0;
    for (const Shape &shape : kShapes) {
        for (const Data data : kAll) {
            used = 0;
            state = 0x9E3779B97F4A7C15ULL + static_cast<uint64_t>(shape.columns * 1000 + shape.tokens * 10 + data);
            float *x = room<float>(shape.tokens * shape.columns);
            for (int64_t i = 0; i < shape.tokens * shape.columns; i++) x[i] = activation(data);
            memset(x, 0, data == kRandom ? kGroup * 4 : 0);  // a group of zeros
            uint8_t *matrix = packed(shape, data);
            const Results right = run(curtain::portable, shape, x, matrix), found = run(*kernels, shape, x, matrix);
            const uint64_t expected = digest(right, shape, 0), got = digest(found, shape, 0);
            say(expected == got ? "equal " : "WRONG ");
            say(kNames[data]), say(" "), say(shape.columns, 10), say("x"), say(shape.panels * kPanel, 10), say("x");
            say(shape.tokens, 10), say(" "), say(got, 16), say("\n");
            wrong += expected != got;
            total = digest(found, shape, total);
        }
    }
    say("digest "), say(total, 16), say("\n");
    return wrong ? 1 : 0;
}

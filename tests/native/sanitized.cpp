// Drives the native library, built with sanitizers: `sanitized matmul avx2`. Every buffer is a block of the heap's
// own that ends where the interface says, so that a byte too far is reported; the decoder's inner buffers, which it
// cuts out of one block, are replaced by such blocks.
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utility>
#include <vector>

#include "curtain.h"
#include "decoder.h"
#include "random_model.h"

using namespace curtain;

namespace {

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "line %d: %s doesn't hold\n", __LINE__, #condition); \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

// Kernels that are linked to the program, since the library doesn't offer them on this CPU.
const Kernels *linked(const char *isa) {
#if defined(EMULATED)
    if (!strcmp(isa, EMULATED.name)) return &EMULATED;
#endif
    (void)isa;
    return nullptr;
}

// ---- quantize and matmul

struct Product {
    vector<int8_t> values;
    vector<float> scales, y;
};

Product product(const char *isa, const CurtainMatrix &matrix, const vector<float> &x, int64_t tokens) {
    const int64_t columns = matrix.columns, scales = tokens * columns / kGroup, panels = (matrix.rows + 7) / 8;
    const vector<float> given(x.begin(), x.begin() + tokens * columns);
    Product made = {vector<int8_t>(tokens * columns), vector<float>(scales), vector<float>(tokens * matrix.rows)};
    if (const Kernels *kernels = linked(isa)) {
        vector<int32_t> sums(scales);
        vector<float> padded(tokens * panels * kPanel);
        kernels->quantize(given.data(), tokens, columns, made.values.data(), made.scales.data(), sums.data());
        kernels->matmul(matrix.packed, columns, panels, {made.values.data(), made.scales.data(), sums.data()}, tokens,
                        padded.data(), panels * kPanel);
        for (int64_t i = 0; i < tokens * matrix.rows; i++) {
            made.y[i] = padded[i / matrix.rows * panels * kPanel + i % matrix.rows];
        }
        return made;
    }
    CHECK(!curtain_quantize(isa, given.data(), tokens, columns, made.values.data(), made.scales.data()));
    CHECK(!curtain_matmul(isa, matrix, made.values.data(), made.scales.data(), tokens, made.y.data()));
    return made;
}

void check_equal(const vector<float> &found, const vector<float> &expected) {
    CHECK(found.size() <= expected.size());
    for (size_t i = 0; i < found.size(); i++) {
        CHECK(!memcmp(&found[i], &expected[i], sizeof(float)) || (isnan(found[i]) && isnan(expected[i])));
    }
}

float activation(bool unfit) {
    if (unfit) return from_bits(random_bits());
    return random_to(16) ? random_float(-4, 4) : 0;
}

void test_matmul(const char *isa) {
    for (const int64_t columns : {32, 64, 96, 352}) {
        for (const int64_t rows : {1, 7, 8, 9, 31, 41}) {
            const bool unfit = random_to(4) == 0;
            const Packed packed = random_matrix(rows, columns, unfit);
            constexpr int64_t kMost = 70;
            vector<float> x(kMost * columns);
            for (float &value : x) value = activation(unfit);
            const Product expected = product("portable", packed.matrix, x, kMost);
            for (int64_t tokens = 1; tokens <= kMost; tokens += columns > 64 && tokens > 9 ? 1 + random_to(9) : 1) {
                const Product found = product(isa, packed.matrix, x, tokens);
                CHECK(!memcmp(found.values.data(), expected.values.data(), found.values.size()));
                check_equal(found.scales, expected.scales);
                check_equal(found.y, expected.y);
            }
        }
    }
}

// ---- the whole forward pass

// A decoder whose inner buffers are blocks of their own, of the sizes in decoder.h, and filled with NaN.
struct Decoder {
    CurtainDecoder *d;
    vector<vector<uint8_t>> blocks;

    Decoder(const Model &model, const char *isa, int32_t threads, int32_t spin_us) {
        char error[64];
        const Kernels *kernels = linked(isa);
        d = curtain_open(&model.model, kernels ? "portable" : isa, threads, spin_us, error, sizeof error);
        CHECK(d);
        if (kernels) d->kernels = kernels;
        const CurtainModel &m = d->model;
        const int64_t attended = m.heads * m.head_dim, wide = m.inner > m.hidden ? m.inner : m.hidden;
        d->x = own<float>(kChunk * m.hidden);
        d->qkv = own<float>(kChunk * (attended + 2 * m.kv_heads * m.head_dim));
        d->attended = own<float>(kChunk * attended);
        d->gate_up = own<float>(kChunk * 2 * m.inner);
        d->inner = own<float>(kChunk * wide);
        d->states = own<float>((m.positions + kSpan - 1) / kSpan * m.kv_heads * kFew * (m.heads / m.kv_heads) *
                               (kStateHeader + m.head_dim));
        d->scratch = own<float>(threads * d->scratch_floats);
        d->normal = activations(attended > m.hidden ? attended : m.hidden);
        d->gated = activations(m.inner);
    }
    ~Decoder() { curtain_close(d); }
    Decoder(const Decoder &) = delete;

  private:
    template <class T>
    T *own(int64_t count) {
        blocks.emplace_back(static_cast<size_t>(count) * sizeof(T), uint8_t{0xff});
        return reinterpret_cast<T *>(blocks.back().data());
    }
    Activations activations(int64_t columns) {
        const int64_t groups = kChunk * columns / kGroup;
        int8_t *values = own<int8_t>(kChunk * columns);
        float *scales = own<float>(groups);
        return {values, scales, own<int32_t>(groups)};
    }
};

struct Run {
    vector<float> logits;  // of every position
    vector<uint16_t> keys, values;
};

// `pieces` calls of any lengths, of which some want the last position only.
Run run(const Decoder &decoder, const vector<int32_t> &ids, int64_t pieces) {
    CurtainDecoder *d = decoder.d;
    const CurtainModel &m = d->model;
    const size_t rows = static_cast<size_t>(m.layers * m.kv_heads * kCapacity * m.head_dim);
    Run made = {{}, vector<uint16_t>(rows, 0xffff), vector<uint16_t>(rows, 0xffff)};
    for (int64_t done = 0; done < kCapacity; pieces--) {
        const int64_t left = kCapacity - done, count = pieces <= 1 ? left : 1 + random_to(left);
        const bool every = count > 1, last = pieces <= 1;
        const vector<int32_t> given(ids.begin() + done, ids.begin() + done + count);
        vector<float> logits((every ? count : 1) * m.vocabulary), hidden(last ? m.hidden : 0);
        CHECK(!curtain_forward(d, given.data(), count, done, made.keys.data(), made.values.data(), kCapacity, m.layers,
                               last ? hidden.data() : nullptr, logits.data(), every));
        made.logits.insert(made.logits.end(), logits.begin(), logits.end());
        done += count;
    }
    return made;
}

void test_model(const char *isa, const Shape &shape, bool unfit) {
    const Model model(shape, unfit);
    vector<int32_t> ids(kCapacity);
    for (int32_t &id : ids) id = static_cast<int32_t>(random_to(shape.vocabulary));
    ids[0] = static_cast<int32_t>(shape.vocabulary - 1);
    const Run expected = run(Decoder(model, isa, 1, 0), ids, 1);
    for (const float logit : expected.logits) CHECK(unfit || isfinite(logit));
    for (const auto &[threads, pieces] : {std::pair(1, 7), {2, 1}, {3, 5}, {3, kCapacity}}) {
        const Run found = run(Decoder(model, isa, threads, threads == 3 ? 0 : 50), ids, pieces);
        check_equal(found.logits, expected.logits);
        CHECK(unfit || (found.keys == expected.keys && found.values == expected.values));
    }
    // The one layer of the self-test, with a cache of one layer.
    const Decoder decoder(model, isa, 2, 20);
    const size_t rows = static_cast<size_t>(shape.kv_heads * 8 * shape.head_dim);
    vector<uint16_t> keys(rows), values(rows);
    vector<float> hidden(shape.hidden);
    const vector<int32_t> first(ids.begin(), ids.begin() + 8);
    CHECK(!curtain_forward(decoder.d, first.data(), 8, 0, keys.data(), values.data(), 8, 1, hidden.data(), nullptr, 0));
}

void test_forward(const char *isa) {
    for (const Shape &shape : kShapes) test_model(isa, shape, false);
}

// Weights of any bits: NaN, infinity, numbers too large or too small.
void test_unfit(const char *isa) {
    for (const Shape &shape : kShapes) test_model(isa, shape, true);
}

void test_open_close(const char *isa) {
    const Model model(kShapes[0], false);
    const vector<int32_t> ids(kCapacity);
    for (int32_t i = 0; i < 24; i++) {
        const Decoder decoder(model, isa, 1 + i % 5, i % 3 * 40);
        if (i % 2) run(decoder, ids, 1);
    }
    curtain_close(nullptr);
}

// ---- what is refused

void test_errors(const char *isa) {
    CHECK(!curtain_isa(-1) && !curtain_isa(99) && curtain_isa(0));
    float x[32] = {}, scale, y;
    int8_t values[32];
    CHECK(curtain_quantize("abacus", x, 1, 32, values, &scale) == -1);
    const Packed one = random_matrix(1, 32, false);
    CHECK(curtain_matmul("abacus", one.matrix, values, &scale, 1, &y) == -1);

    const Model model(kShapes[0], false);
    const auto refused = [&](CurtainModel m, const char *name, int32_t threads, int32_t spin_us) {
        for (const size_t size : {size_t{200}, size_t{8}, size_t{1}}) {
            vector<char> error(size, 'x');
            CHECK(!curtain_open(&m, name, threads, spin_us, error.data(), static_cast<int64_t>(size)));
            CHECK(memchr(error.data(), 0, size));
        }
        CHECK(!curtain_open(&m, name, threads, spin_us, nullptr, 0));
    };
    refused(model.model, "abacus", 1, 0);
    for (const int32_t threads : {0, -1, 257, INT_MAX}) refused(model.model, isa, threads, 0);
    refused(model.model, isa, 1, -1);
    for (int64_t CurtainModel::*size : {&CurtainModel::hidden, &CurtainModel::inner, &CurtainModel::heads,
                                        &CurtainModel::kv_heads, &CurtainModel::head_dim, &CurtainModel::layers,
                                        &CurtainModel::vocabulary, &CurtainModel::positions}) {
        for (const int64_t bad : {int64_t{0}, int64_t{-8}, INT64_MIN}) {
            CurtainModel m = model.model;
            m.*size = bad;
            refused(m, isa, 1, 0);
        }
    }
    for (int64_t CurtainModel::*size : {&CurtainModel::hidden, &CurtainModel::inner, &CurtainModel::heads,
                                        &CurtainModel::head_dim, &CurtainModel::vocabulary}) {
        for (const int64_t bad : {int64_t{12}, int64_t{1} << 20}) {
            CurtainModel m = model.model;
            m.*size = bad;
            refused(m, isa, 1, 0);
        }
    }
    CurtainModel m = model.model;
    m.norm = nullptr;
    refused(m, isa, 1, 0);

    const Decoder decoder(model, isa, 2, 0);
    const size_t rows = static_cast<size_t>(m.layers * m.kv_heads * 4 * m.head_dim);
    vector<uint16_t> keys(rows), cached(rows);
    vector<float> logits(m.vocabulary);
    const auto forward = [&](vector<int32_t> ids, int64_t start, int64_t layers) {
        return curtain_forward(decoder.d, ids.data(), static_cast<int64_t>(ids.size()), start, keys.data(),
                               cached.data(), 4, layers, nullptr, logits.data(), 0);
    };
    CHECK(forward({}, 0, 2) == -1);
    CHECK(forward({1}, -1, 2) == -1);
    for (const int64_t start : {int64_t{4}, INT64_MAX}) CHECK(forward({1}, start, 2) == -1);
    CHECK(forward({1, 2, 3}, 2, 2) == -1);
    CHECK(forward({1}, 0, 0) == -1);
    CHECK(forward({1}, 0, 3) == -1);
    CHECK(forward({1, -1}, 0, 2) == -2);
    CHECK(forward({101}, 0, 2) == -2);
    CHECK(!forward({100}, 3, 2));
}

// ---- faults of our own, which the sanitizers must find

// The weights end a byte too early.
void planted_overflow(const char *isa) {
    CurtainMatrix matrix = random_matrix(8, 32, false).matrix;
    const vector<uint8_t> bytes(kBlock + kTail - 1);
    matrix.packed = bytes.data();
    product(isa, matrix, vector<float>(32), 1);
}

// More tokens than there are numbers for.
void planted_undefined(const char *isa) {
    int8_t value;
    float scale;
    curtain_quantize(isa, &scale, INT64_MAX, 32, &value, &scale);
}

// Two threads write the same result.
struct Task {
    const char *isa;
    CurtainMatrix matrix;
    vector<float> y;
};

void *multiply(void *given) {
    Task &task = *static_cast<Task *>(given);
    const vector<int8_t> values(32);
    const vector<float> scales(1);
    curtain_matmul(task.isa, task.matrix, values.data(), scales.data(), 1, task.y.data());
    return nullptr;
}

void planted_race(const char *isa) {
    const Packed packed = random_matrix(8, 32, false);
    Task task = {isa, packed.matrix, vector<float>(8)};
    pthread_t other;
    CHECK(!pthread_create(&other, nullptr, multiply, &task));
    multiply(&task);
    pthread_join(other, nullptr);
}

}  // namespace

int main(int count, char **arguments) {
    const std::pair<const char *, void (*)(const char *)> all[] = {
        {"matmul", test_matmul},         {"forward", test_forward},
        {"unfit", test_unfit},           {"open-close", test_open_close},
        {"errors", test_errors},         {"planted-overflow", planted_overflow},
        {"planted-race", planted_race},  {"planted-undefined", planted_undefined},
    };
    for (const auto &[name, test] : all) {
        if (count == 3 && !strcmp(arguments[1], name)) {
            test(arguments[2]);
            puts("passed");
            return 0;
        }
    }
    fprintf(stderr, "sanitized TEST INSTRUCTION-SET\n");
    return 2;
}

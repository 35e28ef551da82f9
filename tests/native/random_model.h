// Random matrices and models, every tensor a block of the heap's own.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <vector>

#include "curtain.h"
#include "kernels.h"

namespace {

using curtain::kBlock, curtain::kGroup, curtain::kPanel, curtain::kTail;
using std::vector;

uint64_t state = 0x9E3779B97F4A7C15;

uint32_t random_bits() {  // xorshift64*
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return static_cast<uint32_t>(state * 0x2545F4914F6CDD1D >> 32);
}

int64_t random_to(int64_t end) { return random_bits() % end; }
float random_float(float low, float high) { return low + (high - low) * static_cast<float>(random_bits()) * 0x1p-32f; }

float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

struct Packed {
    CurtainMatrix matrix;
    vector<uint8_t> bytes;
};

// With `unfit` any bits: scales and biases are now and then infinite or not a number.
Packed random_matrix(int64_t rows, int64_t columns, bool unfit) {
    const int64_t groups = columns / kGroup, bytes = groups * kBlock + kTail, panels = (rows + kPanel - 1) / kPanel;
    Packed packed = {{nullptr, rows, columns}, vector<uint8_t>(static_cast<size_t>(panels * bytes))};
    for (uint8_t &byte : packed.bytes) byte = static_cast<uint8_t>(random_bits());
    for (int64_t panel = 0; panel < panels && !unfit; panel++) {
        uint8_t *block = packed.bytes.data() + panel * bytes;
        for (int64_t group = 0; group < groups; group++, block += kBlock) {
            for (int64_t row = 0; row < kPanel; row++) {
                const float scale = random_float(0.2f, 0.5f) / sqrtf(static_cast<float>(columns));
                uint32_t bits;
                memcpy(&bits, &scale, sizeof bits);
                const uint16_t half = static_cast<uint16_t>(bits >> 16 | (random_bits() & 0x8000));
                memcpy(block + 128 + 2 * row, &half, sizeof half);
            }
        }
        for (int64_t i = 0; i < 2 * kPanel; i++) {
            const float value = random_float(-1, 1);
            memcpy(block + 4 * i, &value, sizeof value);
        }
    }
    packed.matrix.packed = packed.bytes.data();
    return packed;
}

struct Shape {
    int64_t hidden, inner, heads, kv_heads, head_dim, layers, vocabulary;
    bool tied, norms;
    int64_t window;  // of every other layer
};

constexpr Shape kShapes[] = {
    {64, 96, 4, 2, 16, 2, 101, true, false, 0},  {32, 32, 4, 4, 8, 2, 129, false, true, 37},
    {64, 32, 4, 1, 24, 1, 97, true, true, 1},    {32, 64, 7, 1, 32, 2, 9, false, false, 128},
    {32, 32, 2, 1, 128, 1, 33, true, true, 130}, {96, 32, 2, 2, 80, 3, 1, false, false, 64},
};
constexpr int64_t kCapacity = 133;  // two chunks and a bit, one block and a bit; the rotary table ends there too

struct Model {
    CurtainModel model;
    vector<CurtainLayer> layers;
    vector<Packed> matrices;
    vector<vector<float>> vectors;

    Model(const Shape &s, bool unfit) : layers(s.layers) {
        const auto matrix = [&](int64_t rows, int64_t columns) {
            matrices.push_back(random_matrix(rows, columns, unfit));
            return matrices.back().matrix;
        };
        const auto floats = [&](int64_t size) {
            vectors.emplace_back(size);
            for (float &x : vectors.back()) x = unfit ? from_bits(random_bits()) : random_float(0.5f, 1.5f);
            return vectors.back().data();
        };
        const int64_t attended = s.heads * s.head_dim;
        for (int64_t i = 0; i < s.layers; i++) {
            CurtainLayer &layer = layers[i];
            layer.attention_norm = floats(s.hidden);
            layer.qkv = matrix(attended + 2 * s.kv_heads * s.head_dim, s.hidden);
            layer.q_norm = s.norms ? floats(s.head_dim) : nullptr;
            layer.k_norm = s.norms ? floats(s.head_dim) : nullptr;
            layer.out = matrix(s.hidden, attended);
            layer.mlp_norm = floats(s.hidden);
            layer.gate_up = matrix(2 * s.inner, s.hidden);
            layer.down = matrix(s.hidden, s.inner);
            layer.window = i % 2 ? 0 : s.window;
        }
        const CurtainMatrix head = matrix(s.vocabulary, s.hidden);
        model = {s.hidden, s.inner, s.heads, s.kv_heads, s.head_dim, s.layers, s.vocabulary, kCapacity, 1e-5f,
                 floats(kCapacity * s.head_dim / 2), floats(kCapacity * s.head_dim / 2), layers.data(),
                 floats(s.hidden), s.tied ? head : matrix(s.vocabulary, s.hidden), head};
    }
    Model(const Model &) = delete;
};

}  // namespace

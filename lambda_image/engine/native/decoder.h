// What an open decoder holds.
#pragma once
#include "curtain.h"
#include "kernels.h"
#include "pool.h"
#include "steps.h"

namespace curtain {

constexpr int64_t kChunk = 64;  // tokens that go through a layer together
constexpr int64_t kFew = 4;     // up to so many tokens, attention is shared out by blocks of positions too

// Quantized activations of a chunk, as in Quantized.
struct Activations {
    int8_t *values;
    float *scales;
    int32_t *sums;
};

// Runs a chunk of `tokens` states in decoder.x through layer `index`; only the last `wanted` leave it.
void run_layer(CurtainDecoder &decoder, int64_t index, int64_t tokens, int64_t wanted, int64_t start, uint16_t *keys,
               uint16_t *values, int64_t capacity);

// Logits [tokens, vocabulary] of states x [tokens, hidden].
void run_head(CurtainDecoder &decoder, const float *x, int64_t tokens, float *logits);

// Embeddings of `tokens` ids into decoder.x.
void embed(CurtainDecoder &decoder, const int32_t *ids, int64_t tokens);

}  // namespace curtain

struct CurtainDecoder {
    CurtainModel model;
    CurtainLayer *layer;  // our copy; the tensors are the caller's
    const curtain::Kernels *kernels;
    curtain::Pool pool;

    // Activations of a chunk, float32.
    float *x;         // [kChunk, hidden]: the residual stream
    float *qkv;       // [kChunk, (heads + 2 kv_heads) * head_dim]
    float *attended;  // [kChunk, heads * head_dim]
    float *gate_up;   // [kChunk, 2 inner]
    float *inner;     // [kChunk, inner or hidden]: SwiGLU's result; what a matrix product adds to the stream
    float *states;    // attention's, of kFew tokens: [blocks, kv_heads][kFew * heads / kv_heads][state]
    float *scratch;   // [threads][scratch_floats]
    int64_t scratch_floats;

    curtain::Activations normal;  // [kChunk, hidden or heads * head_dim]: what goes into most matrix products
    curtain::Activations gated;   // [kChunk, inner]: what goes into the last

    void *memory;
    double seconds[3];  // matrix products, attention, everything else
};

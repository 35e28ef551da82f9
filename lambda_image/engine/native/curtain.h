// The C interface of Curtain's native library: a decoder over mapped int4 weights, and its single steps for
// tests. Nothing is copied; every pointer must outlive the decoder. No function throws.
//
// A packed matrix is KleidiAI's qsi4c32p layout, see lambda_image/engine/bundle/layout.py.
#pragma once
#include <stdint.h>

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

#define CURTAIN_ABI 2

typedef struct {
    const uint8_t *packed;
    int64_t rows, columns;
} CurtainMatrix;

typedef struct {
    const float *attention_norm;  // [hidden]
    CurtainMatrix qkv;            // [(heads + 2 kv_heads) * head_dim, hidden]; biases are in the panels
    const float *q_norm, *k_norm; // [head_dim] each, or NULL
    CurtainMatrix out;            // [hidden, heads * head_dim]
    const float *mlp_norm;        // [hidden]
    CurtainMatrix gate_up;        // [2 inner, hidden]: gate's rows, then up's
    CurtainMatrix down;           // [hidden, inner]
    int64_t window;               // a token sees this many, itself included; 0: all
} CurtainLayer;

typedef struct {
    int64_t hidden, inner, heads, kv_heads, head_dim, layers, vocabulary, positions;
    float norm_epsilon;
    const float *cosines, *sines; // [positions, head_dim / 2]
    const CurtainLayer *layer;    // [layers]
    const float *norm;            // [hidden]
    CurtainMatrix embedding;      // [vocabulary, hidden]: rows are gathered; may be the head
    CurtainMatrix head;           // [vocabulary, hidden]
} CurtainModel;

typedef struct CurtainDecoder CurtainDecoder;

int32_t curtain_abi(void);

// Names of the instruction sets compiled in that this CPU has, best first, "portable" last; NULL past the end.
const char *curtain_isa(int32_t index);

// isa NULL: the best. spin_us: how long an idle thread waits awake before it sleeps. NULL on failure, with the
// cause in error.
CurtainDecoder *curtain_open(const CurtainModel *model, const char *isa, int32_t threads, int32_t spin_us,
                             char *error, int64_t error_size);
void curtain_close(CurtainDecoder *decoder);

// Runs `count` ids at positions start.. through the first `layers` layers; keys and values are float16
// [layers, kv_heads, capacity, head_dim] and get the new rows. If hidden isn't NULL, it gets the last token's
// state [hidden] after these layers, before the final norm. If logits isn't NULL, it gets [vocabulary] of the
// last token, or [count, vocabulary] if every_position.
// Every token's result is bit for bit the same however tokens are grouped into calls and however many threads run.
int32_t curtain_forward(CurtainDecoder *decoder, const int32_t *ids, int64_t count, int64_t start, uint16_t *keys,
                        uint16_t *values, int64_t capacity, int64_t layers, float *hidden, float *logits,
                        int32_t every_position);

// Seconds spent since the last call, for the profile: [matrix products, attention, everything else].
void curtain_profile(CurtainDecoder *decoder, double seconds[3]);

// Reads a file into the page cache with `threads`, nearly in order, and returns when all is read: 0, or an errno.
// *loaded grows by the bytes that have come.
int32_t curtain_read_ahead(const char *path, int32_t threads, int64_t *loaded);

// Single steps, for tests and benches; -1 if isa is unknown here.
int32_t curtain_quantize(const char *isa, const float *x, int64_t tokens, int64_t columns, int8_t *values,
                         float *scales);
int32_t curtain_matmul(const char *isa, CurtainMatrix matrix, const int8_t *values, const float *scales,
                       int64_t tokens, float *y);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

// Opening and closing: checks, threads, memory.
#include "decoder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"

using namespace curtain;

namespace {

constexpr int64_t kLine = 64;  // bytes

int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

const char *fault(const CurtainModel &m, int32_t threads, int32_t spin_us) {
    if (m.hidden < 1 || m.inner < 1 || m.heads < 1 || m.kv_heads < 1 || m.head_dim < 1 || m.layers < 1 ||
        m.vocabulary < 1 || m.positions < 1) {
        return "a size is not positive";
    }
    if (m.heads % m.kv_heads) return "heads is not a multiple of kv_heads";
    if (m.head_dim % 8) return "head_dim is not a multiple of 8";
    if (m.hidden % kGroup || m.inner % kGroup || m.heads * m.head_dim % kGroup) {
        return "a matrix's columns are not a multiple of 32";
    }
    if (threads < 1 || threads > Pool::kMostThreads) return "threads is not in 1 to 256";
    if (spin_us < 0) return "spin_us is negative";
    return nullptr;
}

bool fits(const CurtainMatrix &matrix, int64_t rows, int64_t columns) {
    return matrix.packed && matrix.rows == rows && matrix.columns == columns;
}

const char *fault_in_tensors(const CurtainModel &m) {
    const int64_t attended = m.heads * m.head_dim, pairs = attended + 2 * m.kv_heads * m.head_dim;
    for (int64_t i = 0; i < m.layers; i++) {
        const CurtainLayer &layer = m.layer[i];
        if (!layer.attention_norm || !layer.mlp_norm || !layer.q_norm != !layer.k_norm || layer.window < 0 ||
            !fits(layer.qkv, pairs, m.hidden) || !fits(layer.out, m.hidden, attended) ||
            !fits(layer.gate_up, 2 * m.inner, m.hidden) || !fits(layer.down, m.hidden, m.inner)) {
            return "a layer's tensors don't fit the model's sizes";
        }
    }
    if (!m.norm || !m.cosines || !m.sines || !fits(m.embedding, m.vocabulary, m.hidden) ||
        !fits(m.head, m.vocabulary, m.hidden)) {
        return "embedding, norm, head or rotary table don't fit the model's sizes";
    }
    return nullptr;
}

// Lays the buffers out one after another; with a memory of NULL it only measures.
int64_t lay_out(CurtainDecoder *d, char *memory) {
    const CurtainModel &m = d->model;
    const int64_t attended = m.heads * m.head_dim, queries = m.heads / m.kv_heads;
    const int64_t blocks = (m.positions + kSpan - 1) / kSpan;
    int64_t used = 0;
    const auto take = [&](int64_t bytes) {
        char *place = memory ? memory + used : nullptr;
        used += (bytes + kLine - 1) / kLine * kLine;
        return static_cast<void *>(place);
    };
    const auto floats = [&](int64_t count) { return static_cast<float *>(take(count * sizeof(float))); };
    d->x = floats(kChunk * m.hidden);
    d->qkv = floats(kChunk * (attended + 2 * m.kv_heads * m.head_dim));
    d->attended = floats(kChunk * attended);
    d->gate_up = floats(kChunk * 2 * m.inner);
    d->inner = floats(kChunk * larger(m.inner, m.hidden));
    d->states = floats(blocks * m.kv_heads * kFew * queries * (kStateHeader + m.head_dim));
    d->scratch_floats = larger(m.hidden, attention_floats(larger(kQueries, kFew * queries), m.head_dim));
    d->scratch_floats = (d->scratch_floats + 15) / 16 * 16;
    d->scratch = floats(d->scratch_floats * d->pool.threads());
    const auto quantized = [&](int64_t columns) {
        Activations a;
        a.values = static_cast<int8_t *>(take(kChunk * columns));
        a.scales = floats(kChunk * columns / kGroup);
        a.sums = static_cast<int32_t *>(take(kChunk * columns / kGroup * sizeof(int32_t)));
        return a;
    };
    d->normal = quantized(larger(m.hidden, attended));
    d->gated = quantized(m.inner);
    return used;
}

CurtainDecoder *fail(char *error, int64_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (error && size > 0) vsnprintf(error, static_cast<size_t>(size), format, arguments);
    va_end(arguments);
    return nullptr;
}

}  // namespace

CurtainDecoder *curtain_open(const CurtainModel *model, const char *isa, int32_t threads, int32_t spin_us,
                             char *error, int64_t error_size) {
    const char *cause = fault(*model, threads, spin_us);
    if (!cause) cause = fault_in_tensors(*model);
    if (cause) return fail(error, error_size, "%s", cause);
    const Kernels *kernels = find_kernels(isa);
    if (!kernels) return fail(error, error_size, "this CPU has no instruction set \"%s\"", isa);

    void *place = nullptr;
    if (posix_memalign(&place, kLine, sizeof(CurtainDecoder))) return fail(error, error_size, "out of memory");
    memset(place, 0, sizeof(CurtainDecoder));
    CurtainDecoder *d = static_cast<CurtainDecoder *>(place);
    d->model = *model;
    d->kernels = kernels;
    d->layer = static_cast<CurtainLayer *>(malloc(static_cast<size_t>(model->layers) * sizeof(CurtainLayer)));
    if (d->layer) memcpy(d->layer, model->layer, static_cast<size_t>(model->layers) * sizeof(CurtainLayer));
    d->model.layer = d->layer;
    const bool running = d->layer && d->pool.open(threads, spin_us);
    if (running && !posix_memalign(&d->memory, kLine, static_cast<size_t>(lay_out(d, nullptr)))) {
        lay_out(d, static_cast<char *>(d->memory));
        return d;
    }
    if (running) d->pool.close();
    free(d->layer);
    free(d);
    return fail(error, error_size, "no memory or no threads left: %d threads asked for", threads);
}

void curtain_close(CurtainDecoder *d) {
    if (!d) return;
    d->pool.close();
    free(d->memory);
    free(d->layer);
    free(d);
}

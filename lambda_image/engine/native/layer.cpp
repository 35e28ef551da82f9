// The steps of a layer, shared out over the threads. Who computes what never changes a result: every item of a task
// owns what it writes, and kernels and glue fix the order of every sum.
#include <time.h>

#include "decoder.h"

namespace curtain {
namespace {

constexpr int64_t kShares = 4;  // items a thread in a matrix product: what one thread is late with, others take

constexpr int64_t kWorthSharing = 1 << 13;  // floats, some microseconds' work: about what handing it out costs

enum Kind { kProducts, kAttention, kRest };

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Books the seconds since it was made.
class Timer {
  public:
    Timer(CurtainDecoder &d, Kind kind) : spent_(d.seconds[kind]) { clock_gettime(CLOCK_MONOTONIC, &start_); }
    ~Timer() {
        timespec end;
        clock_gettime(CLOCK_MONOTONIC, &end);
        spent_ += static_cast<double>(end.tv_sec - start_.tv_sec) +
                  1e-9 * static_cast<double>(end.tv_nsec - start_.tv_nsec);
    }

  private:
    double &spent_;
    timespec start_;
};

Quantized view(const Activations &a) { return {a.values, a.scales, a.sums}; }

float *scratch(CurtainDecoder &d, int32_t thread) { return d.scratch + thread * d.scratch_floats; }

// work(from, to, thread) for pieces of [0, units).
template <class Work>
void share(CurtainDecoder &d, int64_t units, const Work &work) {
    const int64_t threads = d.pool.threads(), items = threads == 1 ? 1 : smaller(units, threads * kShares);
    d.pool.run(items, [&](int64_t i, int32_t thread) {
        work(i * units / items, (i + 1) * units / items, thread);
    });
}

// y[t * matrix.rows + row] for the rows of panels [from, to); the last panel may hold fewer rows than it pads to.
void multiply(const CurtainDecoder &d, const CurtainMatrix &matrix, const Activations &x, int64_t tokens,
              int64_t from, int64_t to, float *y) {
    const int64_t panel_bytes = matrix.columns / kGroup * kBlock + kTail;
    const int64_t whole = smaller(to, matrix.rows / kPanel);
    if (from < whole) {
        d.kernels->matmul(matrix.packed + from * panel_bytes, matrix.columns, whole - from, view(x), tokens,
                          y + from * kPanel, matrix.rows);
    }
    if (whole == to) return;
    float last[kChunk * kPanel];
    d.kernels->matmul(matrix.packed + whole * panel_bytes, matrix.columns, 1, view(x), tokens, last, kPanel);
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t row = whole * kPanel; row < matrix.rows; row++) {
            y[t * matrix.rows + row] = last[t * kPanel + row - whole * kPanel];
        }
    }
}

int64_t panels(const CurtainMatrix &matrix) { return (matrix.rows + kPanel - 1) / kPanel; }

void product(CurtainDecoder &d, const CurtainMatrix &matrix, const Activations &x, int64_t tokens, float *y) {
    const Timer timer(d, kProducts);
    share(d, panels(matrix), [&](int64_t from, int64_t to, int32_t) {
        multiply(d, matrix, x, tokens, from, to, y);
    });
}

// stream [tokens, matrix.rows] += the product
void product_added(CurtainDecoder &d, const CurtainMatrix &matrix, const Activations &x, int64_t tokens,
                   float *stream) {
    const Timer timer(d, kProducts);
    share(d, panels(matrix), [&](int64_t from, int64_t to, int32_t) {
        multiply(d, matrix, x, tokens, from, to, d.inner);
        const int64_t row = from * kPanel, size = smaller(to * kPanel, matrix.rows) - row;
        d.kernels->glue->add(d.inner + row, tokens, size, matrix.rows, stream + row);
    });
}

void quantize(CurtainDecoder &d, const float *x, int64_t columns, int64_t token, const Activations &y) {
    const int64_t groups = columns / kGroup;
    d.kernels->quantize(x, 1, columns, y.values + token * columns, y.scales + token * groups,
                        y.sums + token * groups);
}

void normalize(CurtainDecoder &d, const float *x, const float *weight, int64_t tokens) {
    const Timer timer(d, kRest);
    const int64_t hidden = d.model.hidden;
    d.pool.run(tokens, [&](int64_t t, int32_t thread) {
        float *normal = scratch(d, thread);
        d.kernels->glue->norm(x + t * hidden, weight, hidden, d.model.norm_epsilon, normal);
        quantize(d, normal, hidden, t, d.normal);
    });
}

// Queries stay in qkv, normed, rotated and scaled; keys and values go to the cache.
void rotate_and_store(CurtainDecoder &d, const CurtainLayer &layer, int64_t tokens, int64_t start, uint16_t *keys,
                      uint16_t *values, int64_t capacity) {
    const Timer timer(d, kRest);
    const CurtainModel &m = d.model;
    const Glue &glue = *d.kernels->glue;
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(m.head_dim));
    d.pool.run(tokens, [&](int64_t t, int32_t) {
        float *head = d.qkv + t * layer.qkv.rows;
        const int64_t position = start + t;
        const float *cosines = m.cosines + position * (m.head_dim / 2), *sines = m.sines + position * (m.head_dim / 2);
        for (int64_t i = 0; i < m.heads + 2 * m.kv_heads; i++, head += m.head_dim) {
            const bool query = i < m.heads, key = !query && i < m.heads + m.kv_heads;
            const float *weight = query ? layer.q_norm : key ? layer.k_norm : nullptr;
            if (weight) glue.norm(head, weight, m.head_dim, m.norm_epsilon, head);
            if (query || key) glue.rotate(head, cosines, sines, m.head_dim, query ? scale : 1.0f);
            if (query) continue;
            const int64_t row = (i - m.heads) % m.kv_heads * capacity + position;
            glue.halve(head, m.head_dim, (key ? keys : values) + row * m.head_dim);
        }
    });
}

// Tokens [first, tokens) of the chunk -> attended, from its start; then quantized.
void attend(CurtainDecoder &d, const CurtainLayer &layer, int64_t first, int64_t tokens, int64_t start,
            const uint16_t *keys, const uint16_t *values, int64_t capacity) {
    const CurtainModel &m = d.model;
    const Glue &glue = *d.kernels->glue;
    const int64_t group = m.heads / m.kv_heads, columns = m.heads * m.head_dim, wanted = tokens - first;
    const auto part = [&](int64_t head, int64_t from, int64_t count) {
        const float *queries = d.qkv + (first + from) * layer.qkv.rows + head * group * m.head_dim;
        const int64_t rows = head * capacity * m.head_dim;
        return Attention{queries,       layer.qkv.rows, count, group, m.head_dim, keys + rows, values + rows,
                         start + first + from, layer.window};
    };
    Timer timer(d, kAttention);
    if (wanted > kFew || d.pool.threads() == 1 || m.kv_heads >= d.pool.threads() * kShares) {
        const int64_t step = smaller(kChunk / 4, kQueries / group > 1 ? kQueries / group : 1);
        const int64_t steps = (wanted + step - 1) / step;
        d.pool.run(m.kv_heads * steps, [&](int64_t i, int32_t thread) {
            const int64_t head = i / steps, from = i % steps * step;
            glue.attend(part(head, from, smaller(step, wanted - from)), scratch(d, thread),
                        d.attended + from * columns + head * group * m.head_dim, columns);
        });
        return;
    }
    const Attention whole = part(0, 0, wanted);
    const int64_t begin = whole.first_block(), blocks = whole.last_block() - begin + 1;
    const int64_t head_stride = whole.states() * whole.state_floats(), block_stride = m.kv_heads * head_stride;
    share(d, m.kv_heads * blocks, [&](int64_t from, int64_t to, int32_t thread) {
        for (int64_t i = from; i < to; i++) {  // in a row: a block asks for the next one's first keys
            const int64_t head = i / blocks, block = i % blocks;
            glue.attend_block(part(head, 0, wanted), begin + block, scratch(d, thread),
                              d.states + block * block_stride + head * head_stride);
        }
    });
    const auto combine = [&](int64_t head, int32_t thread) {
        glue.combine(part(head, 0, wanted), d.states + head * head_stride, block_stride, scratch(d, thread),
                     d.attended + head * group * m.head_dim, columns);
    };
    if (blocks * block_stride > kWorthSharing) {
        d.pool.run(m.kv_heads, combine);
    } else {
        for (int64_t head = 0; head < m.kv_heads; head++) combine(head, 0);
    }
}

// gate_up, SwiGLU and its quantization in one task: an item has both halves of its columns.
void gate(CurtainDecoder &d, const CurtainMatrix &matrix, int64_t tokens) {
    const Timer timer(d, kProducts);
    const int64_t inner = d.model.inner, group_panels = kGroup / kPanel, groups = inner / kGroup;
    share(d, groups, [&](int64_t from, int64_t to, int32_t) {
        const int64_t first = from * kGroup, size = (to - from) * kGroup;
        multiply(d, matrix, d.normal, tokens, from * group_panels, to * group_panels, d.gate_up);
        multiply(d, matrix, d.normal, tokens, (groups + from) * group_panels, (groups + to) * group_panels,
                 d.gate_up);
        for (int64_t t = 0; t < tokens; t++) {
            const float *rows = d.gate_up + t * 2 * inner + first;
            float *y = d.inner + t * inner + first;
            d.kernels->glue->swiglu(rows, rows + inner, size, y);
            const int64_t group = t * groups + from;
            d.kernels->quantize(y, 1, size, d.gated.values + group * kGroup, d.gated.scales + group,
                                d.gated.sums + group);
        }
    });
}

}  // namespace

void embed(CurtainDecoder &d, const int32_t *ids, int64_t tokens) {
    const Timer timer(d, kRest);
    d.pool.run(tokens, [&](int64_t t, int32_t) {
        d.kernels->glue->gather(d.model.embedding.packed, d.model.hidden, ids[t], d.x + t * d.model.hidden);
    });
}

void run_layer(CurtainDecoder &d, int64_t index, int64_t tokens, int64_t wanted, int64_t start, uint16_t *keys,
               uint16_t *values, int64_t capacity) {
    const CurtainModel &m = d.model;
    const CurtainLayer &layer = m.layer[index];
    const int64_t first = tokens - wanted, columns = m.heads * m.head_dim;
    keys += index * m.kv_heads * capacity * m.head_dim;
    values += index * m.kv_heads * capacity * m.head_dim;
    normalize(d, d.x, layer.attention_norm, tokens);
    product(d, layer.qkv, d.normal, tokens, d.qkv);
    rotate_and_store(d, layer, tokens, start, keys, values, capacity);
    if (!wanted) return;
    float *stream = d.x + first * m.hidden;
    attend(d, layer, first, tokens, start, keys, values, capacity);
    {
        const Timer timer(d, kRest);
        d.pool.run(wanted, [&](int64_t t, int32_t) {
            quantize(d, d.attended + t * columns, columns, t, d.normal);
        });
    }
    product_added(d, layer.out, d.normal, wanted, stream);
    normalize(d, stream, layer.mlp_norm, wanted);
    gate(d, layer.gate_up, wanted);
    product_added(d, layer.down, d.gated, wanted, stream);
}

void run_head(CurtainDecoder &d, const float *x, int64_t tokens, float *logits) {
    normalize(d, x, d.model.norm, tokens);
    product(d, d.model.head, d.normal, tokens, logits);
}

}  // namespace curtain

// A call: its tokens in chunks, each through all layers.
#include <string.h>

#include "decoder.h"

using namespace curtain;

int32_t curtain_forward(CurtainDecoder *decoder, const int32_t *ids, int64_t count, int64_t start, uint16_t *keys,
                        uint16_t *values, int64_t capacity, int64_t layers, float *hidden, float *logits,
                        int32_t every_position) {
    CurtainDecoder &d = *decoder;
    const CurtainModel &m = d.model;
    if (count < 1 || start < 0 || count > capacity - start || count > m.positions - start || layers < 1 ||
        layers > m.layers) {
        return -1;
    }
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] < 0 || ids[i] >= m.vocabulary) return -2;
    }
    for (int64_t done = 0; done < count; done += kChunk) {
        const int64_t tokens = count - done < kChunk ? count - done : kChunk;
        const bool last = done + tokens == count, every = logits && every_position;
        embed(d, ids + done, tokens);
        for (int64_t layer = 0; layer < layers; layer++) {
            // Of the last layer, tokens whose state nobody asks for need keys and values alone.
            const int64_t wanted = layer + 1 < layers || every ? tokens : last ? 1 : 0;
            run_layer(d, layer, tokens, wanted, start + done, keys, values, capacity);
        }
        const float *final = d.x + (tokens - 1) * m.hidden;
        if (last && hidden) memcpy(hidden, final, static_cast<size_t>(m.hidden) * sizeof(float));
        if (every) {
            run_head(d, d.x, tokens, logits + done * m.vocabulary);
        } else if (last && logits) {
            run_head(d, final, 1, logits);
        }
    }
    return 0;
}

void curtain_profile(CurtainDecoder *decoder, double seconds[3]) {
    memcpy(seconds, decoder->seconds, sizeof decoder->seconds);
    memset(decoder->seconds, 0, sizeof decoder->seconds);
}

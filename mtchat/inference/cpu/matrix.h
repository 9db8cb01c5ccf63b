// Products of quantised matrices with 8-bit activations; the weights are exactly those of the GGUF file.
//
// A matrix (rows, columns) is cut into strips of 16 rows; a lane is a row. A strip is a sequence of groups:
// a head with the scales, then its blocks of 32 columns. A block is 4-bit values as 4 words of 64 bytes (byte
// 4 * row + j of word c: column 4c + j in the low nibble, 16 + 4c + j in the high one), then the higher bits, if any.
#pragma once
#include "simd.h"

enum { STRIP = 16, BLOCK = 32, QUADS = BLOCK / 4, TILE = 8, AHEAD = 2048 };  // AHEAD: bytes to fetch ahead

typedef enum {
    Q4_MINIMA,  // Q4_K: per block a scale and a minimum of 8 bits, per 8 blocks two halves
    Q5_MINIMA,  // Q5_K
    Q4_SCALED,  // Q4_0: a half per block
    Q5_SCALED,  // Q5_0
    Q8_SCALED,  // Q8_0
    Q6_SIGNED,  // Q6_K: per 16 columns a signed scale of 8 bits, per 8 blocks a half
} Kind;

typedef struct {
    const uint8_t *data;
    int32_t rows, columns, kind;
} Matrix;

// Activation rows: 8-bit values; a scale per 32 values, a sum per 16, and a sum times the scale per 32.
typedef struct {
    int8_t *values;
    float *scales, *scaled_sums;
    int32_t *sums;
} Activations;

INLINE int bits_of(Kind kind) {
    return kind == Q4_MINIMA || kind == Q4_SCALED ? 4 : kind == Q6_SIGNED ? 6 : kind == Q8_SCALED ? 8 : 5;
}
INLINE int is_scaled(Kind kind) { return kind == Q4_SCALED || kind == Q5_SCALED || kind == Q8_SCALED; }
INLINE int has_minima(Kind kind) { return kind == Q4_MINIMA || kind == Q5_MINIMA; }
INLINE int offset_of(Kind kind) { return has_minima(kind) ? 0 : 1 << (bits_of(kind) - 1); }
INLINE int blocks_of(Kind kind) { return is_scaled(kind) ? 2 : 8; }
INLINE int head_bytes(Kind kind) { return is_scaled(kind) ? 64 : 320; }
INLINE int block_bytes(Kind kind) { return BLOCK * STRIP * bits_of(kind) / 8; }
INLINE int group_bytes(Kind kind) { return head_bytes(kind) + blocks_of(kind) * block_bytes(kind); }
INLINE int64_t strip_bytes(Kind kind, int columns) {
    return (int64_t)columns / BLOCK / blocks_of(kind) * group_bytes(kind);
}

INLINE Activations from_row(Activations x, int row, int columns) {
    const int64_t blocks = (int64_t)row * (columns / BLOCK);
    return (Activations){x.values + (int64_t)row * columns, x.scales + blocks, x.scaled_sums + blocks,
                         x.sums + 2 * blocks};
}

INLINE Activations from_block(Activations x, int block) {
    return (Activations){x.values + block * BLOCK, x.scales + block, x.scaled_sums + block, x.sums + 2 * block};
}

// The values of a block as unsigned bytes, for LANES rows from `row`: word q has columns 4q .. 4q + 3 of each.
INLINE void unpack(Kind kind, const uint8_t *at, int row, Bytes words[QUADS]) {
    at += 4 * row;
    if (kind == Q8_SCALED) {
        for (int q = 0; q < QUADS; q++) words[q] = load_bytes(at + 64 * q);
        return;
    }
    for (int c = 0; c < 4; c++) {
        const Bytes both = load_bytes(at + 64 * c);
        words[c] = masked(both, 0x0F);
        words[c + 4] = masked(shifted(both, -4), 0x0F);
    }
    if (bits_of(kind) == 5) {
        const Bytes fifth = load_bytes(at + 256);
        for (int q = 0; q < QUADS; q++) words[q] |= masked(shifted(fifth, 4 - q), 0x10);
    } else if (bits_of(kind) == 6) {
        for (int half = 0; half < 2; half++) {
            const Bytes upper = load_bytes(at + 256 + 64 * half);
            for (int f = 0; f < 4; f++) words[4 * half + f] |= masked(shifted(upper, 4 - 2 * f), 0x30);
        }
    }
}

// Scales of block `b` of a group, from its head: (scale, minimum), or for Q6_SIGNED those of its halves.
INLINE void scales_of(Kind kind, const uint8_t *head, int b, int row, Floats found[2]) {
    const Floats whole = from_half(head + 2 * row + (is_scaled(kind) ? 32 * b : 0));
    if (is_scaled(kind)) {
        found[0] = found[1] = whole;
    } else if (has_minima(kind)) {
        found[0] = from_u8(head + 64 + 16 * b + row) * whole;
        found[1] = from_u8(head + 192 + 16 * b + row) * -from_half(head + 32 + 2 * row);
    } else {
        found[0] = from_i8(head + 64 + 32 * b + row) * whole;
        found[1] = from_i8(head + 64 + 32 * b + 16 + row) * whole;
    }
}

// Adds the products of one block of one activation row to the sums of LANES rows.
INLINE Floats block_times(Kind kind, const Bytes words[QUADS], const Floats scales[2], Activations x, Floats sum) {
    Ints left = splat_int(-offset_of(kind) * x.sums[0]), right = splat_int(-offset_of(kind) * x.sums[1]);
    for (int q = 0; q < QUADS; q++) {
        Ints *half = q < 4 ? &left : &right;
        *half = kind == Q8_SCALED ? dot(*half, words[q], x.values + 4 * q) : dot_few(*half, words[q], x.values + 4 * q);
    }
    const Floats scale = splat(*x.scales);
    if (kind == Q6_SIGNED)
        return fused(to_float(right), scales[1] * scale, fused(to_float(left), scales[0] * scale, sum));
    sum = fused(to_float(left + right), scales[0] * scale, sum);
    return has_minima(kind) ? fused(scales[1], splat(*x.scaled_sums), sum) : sum;
}

// The strip at `at` times `count` activation rows: sums (count, STRIP).
INLINE void multiply(Kind kind, const int count, const uint8_t *at, int columns, Activations x, float *sums) {
    enum { PARTS = STRIP / LANES };
    const int blocks = columns / BLOCK;
    Floats found[TILE][PARTS];
_Pragma("GCC unroll 16")
    for (int i = 0; i < count * PARTS; i++) found[i / PARTS][i % PARTS] = splat(0);
    for (int first = 0; first < blocks; first += blocks_of(kind), at += group_bytes(kind)) {
        for (int b = 0; b < blocks_of(kind); b++) {
            const uint8_t *block = at + head_bytes(kind) + b * block_bytes(kind);
            const Activations here = from_block(x, first + b);
            for (int line = 0; line < block_bytes(kind); line += 64)
                __builtin_prefetch(block + AHEAD + line);
_Pragma("GCC unroll 2")
            for (int part = 0; part < PARTS; part++) {
                Bytes words[QUADS];
                Floats scales[2];
                unpack(kind, block, part * LANES, words);
                scales_of(kind, at, b, part * LANES, scales);
_Pragma("GCC unroll 8")
                for (int t = 0; t < count; t++)
                    found[t][part] = block_times(kind, words, scales, from_row(here, t, columns), found[t][part]);
            }
        }
    }
_Pragma("GCC unroll 16")
    for (int i = 0; i < count * PARTS; i++) store(sums + i * LANES, found[i / PARTS][i % PARTS]);
}

#define INSTANCE(kind, count)                                                                             \
    static __attribute__((noinline)) void multiply_##kind##_##count(const uint8_t *at, int columns,       \
                                                                    Activations x, float *sums) {         \
        multiply(kind, count, at, columns, x, sums);                                                      \
    }
#define INSTANCES(kind) INSTANCE(kind, 1) INSTANCE(kind, 2) INSTANCE(kind, 4) INSTANCE(kind, 8)
INSTANCES(Q4_MINIMA)
INSTANCES(Q5_MINIMA)
INSTANCES(Q4_SCALED)
INSTANCES(Q5_SCALED)
INSTANCES(Q8_SCALED)
INSTANCES(Q6_SIGNED)

typedef void Multiply(const uint8_t *, int, Activations, float *);
#define ROW(kind) \
    {multiply_##kind##_1, multiply_##kind##_2, multiply_##kind##_4, multiply_##kind##_8}
static Multiply *const MULTIPLY[6][4] = {ROW(Q4_MINIMA), ROW(Q5_MINIMA), ROW(Q4_SCALED),
                                         ROW(Q5_SCALED), ROW(Q8_SCALED), ROW(Q6_SIGNED)};

// A strip of the matrix times up to TILE activation rows: sums (count, STRIP).
INLINE void strip_times(Matrix m, int strip, Activations x, int count, float *sums) {
    const uint8_t *at = m.data + strip * strip_bytes(m.kind, m.columns);
    for (int done = 0, power; done < count; done += 1 << power) {
        for (power = 3; 1 << power > count - done; power--) continue;
        MULTIPLY[m.kind][power](at, m.columns, from_row(x, done, m.columns), sums + done * STRIP);
    }
}

// One row of the matrix as floats.
static void read_row(Matrix m, int row, float *to) {
    const Kind kind = m.kind;
    const uint8_t *at = m.data + row / STRIP * strip_bytes(kind, m.columns);
    const int first = row % STRIP / LANES * LANES, lane = row % LANES;
    for (int column = 0; column < m.columns; at += group_bytes(kind)) {
        for (int b = 0; b < blocks_of(kind); b++, column += BLOCK) {
            Bytes words[QUADS];
            Floats scales[2];
            unpack(kind, at + head_bytes(kind) + b * block_bytes(kind), first, words);
            scales_of(kind, at, b, first, scales);
            for (int i = 0; i < BLOCK; i++) {
                const int value = words[i / 4][4 * lane + i % 4] - offset_of(kind);
                const float scale = kind == Q6_SIGNED ? scales[i / 16][lane] : scales[0][lane];
                to[column + i] = scale * value + (has_minima(kind) ? scales[1][lane] : 0);
            }
        }
    }
}

// Quantises a row of floats to activations.
INLINE void quantise(const float *from, int columns, Activations to) {
    for (int block = 0; block < columns / BLOCK; block++, from += BLOCK) {
        Floats peaks = splat(0);
        for (int i = 0; i < BLOCK; i += LANES) peaks = maximum(peaks, absolute(load(from + i)));
        const float peak = greatest(peaks), scale = peak / 127.0f;
        const Floats inverse = splat(peak > 0 ? 127.0f / peak : 0);
        int32_t sums[2] = {0, 0};
        for (int i = 0; i < BLOCK; i += LANES) {
            const Ints values = to_int(load(from + i) * inverse);
            for (int j = 0; j < LANES; j++) {
                to.values[BLOCK * block + i + j] = (int8_t)values[j];
                sums[i / 16] += values[j];
            }
        }
        to.scales[block] = scale;
        memcpy(to.sums + 2 * block, sums, sizeof sums);
        to.scaled_sums[block] = scale * (float)(sums[0] + sums[1]);
    }
}

// Products of quantised matrices with 8-bit activations.
#pragma once
#include "kinds.h"
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#if defined(__AVX2__)
#define UNROLLED _Pragma("GCC unroll 16")
#else  // sums for 8 rows of activations do not fit in the registers
#define UNROLLED
#endif

enum { TILE = 8 };  // activation rows at a time

// Bytes to fetch ahead. Twice as many were slower on an Intel Xeon, and three times as many faster on an AMD EPYC.
static int ahead = 2048;
#if defined(__x86_64__)
__attribute__((constructor)) static void choose_distance(void) {
    unsigned most, name[3];
    if (__get_cpuid(0, &most, &name[0], &name[1], &name[2]) && !memcmp(name, "AuthcAMDenti", sizeof name)) ahead = 6144;
}
#endif

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

INLINE Activations from_row(Activations x, int row, int columns) {
    const int64_t blocks = (int64_t)row * (columns / BLOCK);
    return (Activations){x.values + (int64_t)row * columns, x.scales + blocks, x.scaled_sums + blocks,
                         x.sums + 2 * blocks};
}

INLINE Activations from_block(Activations x, int block) {
    return (Activations){x.values + block * BLOCK, x.scales + block, x.scaled_sums + block, x.sums + 2 * block};
}

// Adds the products of one block of one activation row to the sums of LANES rows.
INLINE Floats block_times(Kind kind, const Bytes words[QUADS], Scales scales, Activations x, Floats sum) {
    const int wide = FACTS[kind].offset == 128, offset = FACTS[kind].offset - (wide ? TAKEN_OFF : 0);
    Ints left = splat_int(-offset * x.sums[0]), right = splat_int(-offset * x.sums[1]);
    for (int q = 0; q < QUADS; q++) {
        Ints *half = q < 4 ? &left : &right;
        *half = wide ? dot(*half, words[q], x.values + 4 * q) : dot_few(*half, words[q], x.values + 4 * q);
    }
    const Floats scale = splat(*x.scales);
    if (by_16(kind)) {
        sum = fused(to_float(right), scales.scale[1] * scale, fused(to_float(left), scales.scale[0] * scale, sum));
        if (!has_minima(kind)) return sum;
        sum = fused(scales.minimum[0], splat(*x.scales * (float)x.sums[0]), sum);
        return fused(scales.minimum[1], splat(*x.scales * (float)x.sums[1]), sum);
    }
    sum = fused(to_float(left + right), scales.scale[0] * scale, sum);
    return has_minima(kind) ? fused(scales.minimum[0], splat(*x.scaled_sums), sum) : sum;
}

enum { PARTS = STRIP / LANES };

// The same for all activation rows and all 16 rows of a block of floats, in two sums for each: neighbouring columns
// need not wait for each other.
INLINE void plain_times(Kind kind, const int count, const uint8_t *block, int columns, Activations x,
                        Floats found[TILE][PARTS]) {
    const int step = STRIP * FACTS[kind].bits / 8;
    float values[TILE][BLOCK];
    for (int t = 0; t < count; t++)
        for (int i = 0; i < BLOCK; i += LANES) store(values[t] + i, from_i8(from_row(x, t, columns).values + i));
UNROLLED
    for (int part = 0; part < PARTS; part++) {
        const uint8_t *at = block + part * LANES * FACTS[kind].bits / 8;
        Floats sums[TILE][2];
UNROLLED
        for (int t = 0; t < count; t++) sums[t][0] = sums[t][1] = splat(0);
        for (int column = 0; column < BLOCK; column += 2) {
            const Floats even = plain(kind, at + column * step), odd = plain(kind, at + (column + 1) * step);
UNROLLED
            for (int t = 0; t < count; t++) {
                sums[t][0] = fused(even, splat(values[t][column]), sums[t][0]);
                sums[t][1] = fused(odd, splat(values[t][column + 1]), sums[t][1]);
            }
        }
UNROLLED
        for (int t = 0; t < count; t++)
            found[t][part] = fused(sums[t][0] + sums[t][1], splat(*from_row(x, t, columns).scales), found[t][part]);
    }
}

// The strip at `at` times `count` activation rows: sums (count, STRIP).
INLINE void multiply(Kind kind, const int count, const uint8_t *at, int columns, Activations x, float *sums) {
    const int blocks = columns / BLOCK, most = FACTS[kind].blocks;
    Floats found[TILE][PARTS];
UNROLLED
    for (int i = 0; i < count * PARTS; i++) found[i / PARTS][i % PARTS] = splat(0);
    for (int first = 0; first < blocks; first += most, at += group_bytes(kind)) {
        for (int b = 0; b < most && (is_even(kind) || first + b < blocks); b++) {
            const uint8_t *block = at + FACTS[kind].head_bytes + b * block_bytes(kind);
            const Activations here = from_block(x, first + b);
            const uint8_t *later = block + ahead;
            __asm__("" : "+r"(later));  // else compilers keep a register for each line
            for (int line = 0; line < block_bytes(kind); line += 64) __builtin_prefetch(later + line);
            if (is_plain(kind)) {
                plain_times(kind, count, block, columns, here, found);
                continue;
            }
UNROLLED
            for (int part = 0; part < PARTS; part++) {
                Bytes words[QUADS];
                unpack(kind, at, block, part * LANES, words);
                const Scales scales = scales_of(kind, at, b, part * LANES);
UNROLLED
                for (int t = 0; t < count; t++)
                    found[t][part] = block_times(kind, words, scales, from_row(here, t, columns), found[t][part]);
            }
        }
    }
UNROLLED
    for (int i = 0; i < count * PARTS; i++) store(sums + i * LANES, found[i / PARTS][i % PARTS]);
}

#define INSTANCE(kind, count)                                                                             \
    static __attribute__((noinline)) void multiply_##kind##_##count(const uint8_t *at, int columns,       \
                                                                    Activations x, float *sums) {         \
        multiply(kind, count, at, columns, x, sums);                                                      \
    }
#define INSTANCES(kind, ...) INSTANCE(kind, 1) INSTANCE(kind, 2) INSTANCE(kind, 4) INSTANCE(kind, 8)
KINDS(INSTANCES)

typedef void Multiply(const uint8_t *, int, Activations, float *);
#define ENTRY(kind, ...) {multiply_##kind##_1, multiply_##kind##_2, multiply_##kind##_4, multiply_##kind##_8},
static Multiply *const MULTIPLY[][4] = {KINDS(ENTRY)};
#undef ENTRY

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
    const Facts facts = FACTS[kind];
    const int first = row % STRIP / LANES * LANES, lane = row % LANES;
    const uint8_t *head = m.data + row / STRIP * strip_bytes(kind, m.columns), *block = head + facts.head_bytes;
    for (int number = 0; number < m.columns / BLOCK; number++, block += block_bytes(kind), to += BLOCK) {
        if (number && number % facts.blocks == 0) {
            head = block;
            block += facts.head_bytes;
        }
        if (is_plain(kind)) {
            const int size = facts.bits / 8;
            for (int i = 0; i < BLOCK; i++) to[i] = plain(kind, block + (STRIP * i + first) * size)[lane];
            continue;
        }
        Bytes words[QUADS];
        unpack(kind, head, block, first, words);
        const Scales scales = scales_of(kind, head, number % facts.blocks, first);
        for (int i = 0; i < BLOCK; i++) {
            const int value = words[i / 4][4 * lane + i % 4] - facts.offset;
            to[i] = scales.scale[i / 16][lane] * value + (has_minima(kind) ? scales.minimum[i / 16][lane] : 0);
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

// The kinds of matrices: how values and their scales are stored, which are exactly those of the GGUF file.
//
// A matrix (rows, columns) is cut into strips of 16 rows; a lane is a row. A strip is a sequence of groups: a
// head with the scales, then the group's blocks of 32 columns; the last group may have fewer. A block has
// - of values of 4 bits or more the lowest four, as 4 words of 64 bytes: byte 4 * row + j of word c has column
//   4c + j in the low nibble and 16 + 4c + j in the high one;
// - then the two bits above, or the lowest two, as 2 words: bits 2f and 2f + 1 of word h for column 16h + 4f + j;
// - then a bit that is left, as 1 word: bit q for column 4q + j;
// - instead, of values of 8 bits, 8 words for 4 columns each; of floats, the columns one after the other.
#pragma once
#include "simd.h"

enum { STRIP = 16, BLOCK = 32, QUADS = BLOCK / 4, CODES_AT = 32, UNIT_AT = 48 };  // the last two in a head

// What a head has for each row, and where a kind has codes of its own, for all rows the codes and their unit.
typedef enum {
    HALVES,      // a half for each `span` blocks
    PAIRS,       // two halves, a scale and a minimum, for each block
    MINIMA,      // two halves, and a scale and a minimum of 8 bits for each block
    NIBBLES,     // two halves, and a scale and a minimum of 4 bits for each 16 columns
    SIGNED,      // a half, and a signed scale of 8 bits for each 16 columns
    SIGNED_32,   // a half, and a signed scale of 8 bits for each block
    POWERS,      // a power of two in 8 bits (E8M0) for each block
    MINIFLOATS,  // a float in 8 bits (UE4M3) for each 16 columns
    NO_HEAD,
} Head;

typedef enum { NO_CODES, FP4, NL4, OWN } Codes;  // what 4 bits stand for, if not for themselves

// Bits of a value, what is subtracted from it, its codes; head and its bytes; the blocks of a group, the span in
// blocks, and what the number of columns must be a multiple of.
#define KINDS(X)                                                                                             \
    X(Q4_MINIMA, 4, 0, NO_CODES, MINIMA, 320, 8, 8, 256)      /* Q4_K */                                     \
    X(Q5_MINIMA, 5, 0, NO_CODES, MINIMA, 320, 8, 8, 256)      /* Q5_K */                                     \
    X(Q4_SCALED, 4, 8, NO_CODES, HALVES, 64, 2, 1, 64)        /* Q4_0 */                                     \
    X(Q5_SCALED, 5, 16, NO_CODES, HALVES, 64, 2, 1, 64)       /* Q5_0 */                                     \
    X(Q8_SCALED, 8, 128, NO_CODES, HALVES, 64, 2, 1, 64)      /* Q8_0 */                                     \
    X(Q6_SIGNED, 6, 32, NO_CODES, SIGNED, 320, 8, 8, 256)     /* Q6_K */                                     \
    X(FP4_POWERS, 4, 12, FP4, POWERS, 64, 4, 1, 32)           /* MXFP4 */                                    \
    X(FP4_MINIFLOATS, 4, 12, FP4, MINIFLOATS, 64, 2, 1, 64)   /* NVFP4 */                                    \
    X(NL4_SCALED, 4, 128, NL4, HALVES, 64, 2, 1, 32)          /* IQ4_NL */                                   \
    X(OWN4_SIGNED, 4, 128, OWN, SIGNED, 320, 8, 8, 256)       /* IQ2_XS, IQ2_S, IQ1_M */                     \
    X(OWN4_SIGNED_32, 4, 128, OWN, SIGNED_32, 192, 8, 8, 256) /* IQ4_XS, IQ3_S, IQ3_XXS, IQ2_XXS, IQ1_S */   \
    X(Q4_PAIRS, 4, 0, NO_CODES, PAIRS, 64, 1, 1, 32)          /* Q4_1 */                                     \
    X(Q5_PAIRS, 5, 0, NO_CODES, PAIRS, 64, 1, 1, 32)          /* Q5_1 */                                     \
    X(Q2_NIBBLES, 2, 0, NO_CODES, NIBBLES, 320, 8, 8, 256)    /* Q2_K */                                     \
    X(Q3_SIGNED, 3, 4, NO_CODES, SIGNED, 320, 8, 8, 256)      /* Q3_K */                                     \
    X(Q1_SCALED, 1, 1, NO_CODES, HALVES, 64, 8, 4, 128)       /* Q1_0 */                                     \
    X(Q2_SCALED, 2, 1, NO_CODES, HALVES, 64, 8, 8, 256)       /* TQ2_0, TQ1_0 */                             \
    X(F16_PLAIN, 16, 0, NO_CODES, NO_HEAD, 0, 1, 1, 32)       /* F16 */                                      \
    X(BF16_PLAIN, 16, 0, NO_CODES, NO_HEAD, 0, 1, 1, 32)      /* BF16 */                                     \
    X(F32_PLAIN, 32, 0, NO_CODES, NO_HEAD, 0, 1, 1, 32)       /* F32 */

#define NAME(kind, ...) kind,
typedef enum { KINDS(NAME) } Kind;
#undef NAME

typedef struct {
    int bits, offset;
    Codes codes;
    Head head;
    int head_bytes, blocks, span, columns;
} Facts;

#define ENTRY(kind, ...) {__VA_ARGS__},
static const Facts FACTS[] = {KINDS(ENTRY)};
#undef ENTRY

// As unsigned bytes: twice the floats of 4 bits (E2M1), plus 12; the values of IQ4_NL, plus 128.
static const uint8_t FP4_CODES[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
static const uint8_t NL4_CODES[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

INLINE int is_plain(Kind kind) { return FACTS[kind].head == NO_HEAD; }
INLINE int has_minima(Kind kind) { return FACTS[kind].head >= PAIRS && FACTS[kind].head <= NIBBLES; }
INLINE int by_16(Kind kind) {  // whether each 16 columns have a scale of their own
    const Head head = FACTS[kind].head;
    return head == NIBBLES || head == SIGNED || head == MINIFLOATS;
}
INLINE int is_even(Kind kind) { return FACTS[kind].columns % (FACTS[kind].blocks * BLOCK) == 0; }  // all groups whole
INLINE int block_bytes(Kind kind) { return BLOCK * STRIP * FACTS[kind].bits / 8; }
INLINE int group_bytes(Kind kind) { return FACTS[kind].head_bytes + FACTS[kind].blocks * block_bytes(kind); }
INLINE int64_t strip_bytes(Kind kind, int columns) {
    const int blocks = columns / BLOCK, groups = (blocks + FACTS[kind].blocks - 1) / FACTS[kind].blocks;
    return (int64_t)groups * FACTS[kind].head_bytes + (int64_t)blocks * block_bytes(kind);
}

// The values of a block as unsigned bytes, for LANES rows from `row`: word q has columns 4q .. 4q + 3 of each.
INLINE void unpack(Kind kind, const uint8_t *head, const uint8_t *at, int row, Bytes words[QUADS]) {
    const int bits = FACTS[kind].bits;
    const Codes codes = FACTS[kind].codes;
    at += 4 * row;
    for (int q = 0; q < QUADS; q++) words[q] = bits == 8 ? load_bytes(at + 64 * q) : (Bytes){0};
    if (bits == 8) return;
    int place = bits == 1;  // a single bit is 0 or 2
    if (bits >= 4) {
        for (int c = 0; c < 4; c++, at += 64) {
            const Bytes both = load_bytes(at);
            words[c] = masked(both, 0x0F);
            words[c + 4] = masked(shifted(both, -4), 0x0F);
        }
        place = 4;
    }
    if (bits - place >= 2) {
        for (int half = 0; half < 2; half++, at += 64) {
            const Bytes two = load_bytes(at);
            for (int f = 0; f < 4; f++) words[4 * half + f] |= masked(shifted(two, place - 2 * f), 3 << place);
        }
        place += 2;
    }
    if (bits & 1) {
        const Bytes one = load_bytes(at);
        for (int q = 0; q < QUADS; q++) words[q] |= masked(shifted(one, place - q), 1 << place);
    }
    if (codes != NO_CODES) {
        const Bytes table = repeated(codes == FP4 ? FP4_CODES : codes == NL4 ? NL4_CODES : head + CODES_AT);
        for (int q = 0; q < QUADS; q++) words[q] = looked_up(table, words[q]);
    }
}

// LANES rows of a column of floats.
INLINE Floats plain(Kind kind, const uint8_t *at) {
    return kind == F16_PLAIN ? from_half(at) : kind == BF16_PLAIN ? from_brain(at) : load((const float *)at);
}

// Of LANES rows, for the first and the last 16 columns of a block.
typedef struct {
    Floats scale[2], minimum[2];
} Scales;

// The scales of block `b` of a group, from its head.
INLINE Scales scales_of(Kind kind, const uint8_t *head, int b, int row) {
    const Facts facts = FACTS[kind];
    Scales found;
    for (int half = 0; half < 2; half++) {
        const uint8_t *small = head + 64 + row, *part = small + 16 * (2 * b + half);
        Floats scale = from_half(head + 2 * row), minimum = from_half(head + 32 + 2 * row);
        switch (facts.head) {
        case HALVES: scale = from_half(head + 32 * (b / facts.span) + 2 * row); break;
        case MINIMA:
            scale *= from_u8(small + 16 * b);
            minimum = from_u8(small + 128 + 16 * b) * -minimum;
            break;
        case NIBBLES:
            scale *= from_nibbles(part, 0);
            minimum = from_nibbles(part, 4) * -minimum;
            break;
        case SIGNED: scale *= from_i8(part); break;
        case SIGNED_32: scale *= from_i8(small + 16 * b); break;
        case POWERS: scale = from_power(head + 16 * b + row); break;
        case MINIFLOATS: scale = from_minifloat(head + 16 * (2 * b + half) + row); break;
        case PAIRS:
        case NO_HEAD: break;
        }
        if (facts.codes == OWN) {
            float unit;
            memcpy(&unit, head + UNIT_AT, sizeof unit);
            scale *= splat(unit);
        }
        found.scale[half] = scale;
        found.minimum[half] = minimum;
    }
    return found;
}

// LANES numbers at a time. Integers are exact and multiply-adds are fused where they are written so: the build
// forbids compilers to contract or reorder floats, so that a token's numbers do not depend on its batch.
#pragma once
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)
enum { LANES = 16 };
#define VECTOR __attribute__((vector_size(64)))
#else
enum { LANES = 8 };
#define VECTOR __attribute__((vector_size(32)))
#endif

typedef float Floats VECTOR;
typedef int32_t Ints VECTOR;
typedef uint32_t Words VECTOR;
typedef uint16_t Pairs VECTOR;
typedef int16_t Shorts VECTOR;
typedef uint8_t Bytes VECTOR;
typedef uint8_t LaneBytes __attribute__((vector_size(LANES)));  // one for each lane
typedef uint16_t LanePairs __attribute__((vector_size(2 * LANES)));

INLINE Floats load(const float *from) {
    Floats value;
    memcpy(&value, from, sizeof value);
    return value;
}

INLINE void store(float *to, Floats value) { memcpy(to, &value, sizeof value); }

INLINE Bytes load_bytes(const void *from) {
    Bytes value;
    memcpy(&value, from, sizeof value);
    return value;
}

INLINE LaneBytes load_lane_bytes(const void *from) {
    LaneBytes value;
    memcpy(&value, from, sizeof value);
    return value;
}

INLINE LanePairs load_lane_pairs(const void *from) {
    LanePairs value;
    memcpy(&value, from, sizeof value);
    return value;
}

INLINE int32_t four_bytes(const void *from) {
    int32_t value;
    memcpy(&value, from, 4);
    return value;
}

INLINE Ints splat_int(int32_t value) { return (Ints){0} + value; }

INLINE Floats splat(float value) { return (Floats)splat_int(four_bytes(&value)); }

// Shifts a vector left by some bits, or right if negative; bits that cross bytes must be masked away.
INLINE Bytes shifted(Bytes value, int bits) {
    const Pairs pairs = (Pairs)value;
    return (Bytes)(bits >= 0 ? pairs << (bits & 15) : pairs >> (-bits & 15));
}

INLINE Bytes masked(Bytes value, int mask) { return value & ((Bytes){0} + (uint8_t)mask); }

// dot: each lane adds the four products of its bytes of `w` (0..255), less TAKEN_OFF, and the four at `a` (-127..127).
// looked_up: of 16 bytes, which `repeated` loads into each 16 of a vector, those at some places (0..15).
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)

INLINE Floats fused(Floats a, Floats b, Floats c) { return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE Floats to_float(Ints a) { return (Floats)_mm512_cvtepi32_ps((__m512i)a); }
INLINE Ints to_int(Floats a) { return (Ints)_mm512_cvtps_epi32((__m512)a); }
INLINE Floats from_half(const void *from) { return (Floats)_mm512_cvtph_ps(_mm256_loadu_si256(from)); }
INLINE void to_half(void *to, Floats value) { _mm256_storeu_si256(to, _mm512_cvtps_ph((__m512)value, 0)); }
INLINE Floats from_u8(const void *from) { return to_float((Ints)_mm512_cvtepu8_epi32(_mm_loadu_si128(from))); }
INLINE Floats from_i8(const void *from) { return to_float((Ints)_mm512_cvtepi8_epi32(_mm_loadu_si128(from))); }
INLINE Floats maximum(Floats a, Floats b) { return (Floats)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE float total(Floats a) { return _mm512_reduce_add_ps((__m512)a); }
INLINE float greatest(Floats a) { return _mm512_reduce_max_ps((__m512)a); }
INLINE Ints dot(Ints sum, Bytes w, const void *a) {
    return (Ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, _mm512_set1_epi32(four_bytes(a)));
}
INLINE Bytes repeated(const void *from) { return (Bytes)_mm512_broadcast_i32x4(_mm_loadu_si128(from)); }
INLINE Bytes looked_up(Bytes from, Bytes places) {
    return (Bytes)_mm512_shuffle_epi8((__m512i)from, (__m512i)places);
}

#else

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

INLINE Floats fused(Floats a, Floats b, Floats c) { return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE Floats to_float(Ints a) { return (Floats)_mm256_cvtepi32_ps((__m256i)a); }
INLINE Ints to_int(Floats a) { return (Ints)_mm256_cvtps_epi32((__m256)a); }
INLINE Floats from_half(const void *from) { return (Floats)_mm256_cvtph_ps(_mm_loadu_si128(from)); }
INLINE void to_half(void *to, Floats value) { _mm_storeu_si128(to, _mm256_cvtps_ph((__m256)value, 0)); }
INLINE Floats from_u8(const void *from) { return to_float((Ints)_mm256_cvtepu8_epi32(_mm_loadl_epi64(from))); }
INLINE Floats from_i8(const void *from) { return to_float((Ints)_mm256_cvtepi8_epi32(_mm_loadl_epi64(from))); }
INLINE Floats maximum(Floats a, Floats b) { return (Floats)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE Bytes repeated(const void *from) { return (Bytes)_mm256_broadcastsi128_si256(_mm_loadu_si128(from)); }
INLINE Bytes looked_up(Bytes from, Bytes places) {
    return (Bytes)_mm256_shuffle_epi8((__m256i)from, (__m256i)places);
}
#if defined(__AVXVNNI__)
INLINE Ints dot(Ints sum, Bytes w, const void *a) {
    return (Ints)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)w, _mm256_set1_epi32(four_bytes(a)));
}
#else
// Two products of up to 255 * 127 do not fit in 16 bits, but those of signed bytes do: so it is `w` - 128 here.
enum { TAKEN_OFF = 128 };
#define DOT_OF_SIGNED
INLINE Ints dot(Ints sum, Bytes w, const void *a) {
    const __m256i four = _mm256_set1_epi32(four_bytes(a)), ones = _mm256_set1_epi16(1);
    const __m256i less = (__m256i)(w ^ ((Bytes){0} + (uint8_t)0x80));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(less), _mm256_sign_epi8(four, less));
    return sum + (Ints)_mm256_madd_epi16(pairs, ones);
}
#define DOT_OF_FEW_BITS
INLINE Ints dot_few(Ints sum, Bytes w, const void *a) {
    const __m256i four = _mm256_set1_epi32(four_bytes(a)), ones = _mm256_set1_epi16(1);
    return sum + (Ints)_mm256_madd_epi16(_mm256_maddubs_epi16((__m256i)w, four), ones);
}
#endif

#else  // any processor: plain loops, which compilers turn into what there is

INLINE Floats fused(Floats a, Floats b, Floats c) {
    for (int i = 0; i < LANES; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
}
INLINE Floats to_float(Ints a) { return __builtin_convertvector(a, Floats); }
INLINE Ints to_int(Floats a) {  // to nearest, ties to even: the sum lies where floats are whole numbers
    const float whole = 12582912.0f;
    return __builtin_convertvector((a + whole) - whole, Ints);
}
INLINE float half_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, bits = (uint32_t)(half & 0x7FFF) << 13;
    uint32_t word = bits + (112u << 23);
    float value;
    memcpy(&value, &word, 4);
    if (bits >= (31u << 23)) {  // infinity, or not a number
        word = bits | 0x7F800000u;
        memcpy(&value, &word, 4);
    } else if (bits < (1u << 23)) {  // subnormal
        value = (float)(half & 0x7FFF) * 5.9604644775390625e-8f;
    }
    memcpy(&word, &value, 4);
    word |= sign;
    memcpy(&value, &word, 4);
    return value;
}
INLINE uint16_t float_to_half(float value) {
    uint32_t word;
    memcpy(&word, &value, 4);
    const uint16_t sign = (uint16_t)((word >> 16) & 0x8000);
    word &= 0x7FFFFFFF;
    if (word > 0x7F800000) return sign | 0x7E00;
    if (word >= 0x47800000) return sign | 0x7C00;
    if (word < 0x38800000) {  // subnormal: the sum rounds to a multiple of 2^-24
        float size;
        memcpy(&size, &word, 4);
        size += 0.5f;
        memcpy(&word, &size, 4);
        return sign | (uint16_t)(word - 0x3F000000);
    }
    word += 0xC8000FFFu + ((word >> 13) & 1);
    return sign | (uint16_t)(word >> 13);
}
INLINE Floats from_half(const void *from) {
    const uint16_t *halves = from;
    Floats value;
    for (int i = 0; i < LANES; i++) value[i] = half_to_float(halves[i]);
    return value;
}
INLINE void to_half(void *to, Floats value) {
    uint16_t *halves = to;
    for (int i = 0; i < LANES; i++) halves[i] = float_to_half(value[i]);
}
INLINE Floats from_u8(const void *from) {
    const uint8_t *bytes = from;
    Floats value;
    for (int i = 0; i < LANES; i++) value[i] = bytes[i];
    return value;
}
INLINE Floats from_i8(const void *from) {
    const int8_t *bytes = from;
    Floats value;
    for (int i = 0; i < LANES; i++) value[i] = bytes[i];
    return value;
}
INLINE Floats maximum(Floats a, Floats b) {
    for (int i = 0; i < LANES; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
}
// Products of a byte and an activation fit in 16 bits, and the sum of two if the byte has at most 7 bits.
INLINE Shorts products_of(Bytes w, const void *a, int odd) {
    const int8_t *four = a;
    const Pairs bytes = odd ? (Pairs)w >> 8 : (Pairs)w & 0xFF;
    return (Shorts)bytes * (Shorts)splat_int((int32_t)((uint32_t)four[2 + odd] << 16 | (uint16_t)four[odd]));
}
INLINE Ints both_added(Ints sum, Shorts pairs) {
    return sum + ((Ints)((Words)pairs << 16) >> 16) + ((Ints)pairs >> 16);
}
INLINE Ints dot(Ints sum, Bytes w, const void *a) {
    return both_added(both_added(sum, products_of(w, a, 0)), products_of(w, a, 1));
}
#define DOT_OF_FEW_BITS
INLINE Ints dot_few(Ints sum, Bytes w, const void *a) {
    return both_added(sum, products_of(w, a, 0) + products_of(w, a, 1));
}
INLINE Bytes repeated(const void *from) {
    uint8_t both[2][16];
    memcpy(both[0], from, 16);
    memcpy(both[1], from, 16);
    return load_bytes(both);
}
INLINE Bytes looked_up(Bytes from, Bytes places) {
#if defined(__aarch64__)
    uint8x16_t half[2];
    memcpy(half, &places, sizeof half);
    uint8x16_t table;
    memcpy(&table, &from, sizeof table);
    for (int i = 0; i < 2; i++) half[i] = vqtbl1q_u8(table, half[i]);
    memcpy(&places, half, sizeof half);
#else
    for (size_t i = 0; i < sizeof(Bytes); i++) places[i] = from[places[i]];
#endif
    return places;
}
#endif

INLINE float total(Floats a) {
    for (int width = LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++) a[i] += a[i + width];
    return a[0];
}
INLINE float greatest(Floats a) {
    for (int i = 1; i < LANES; i++) a[0] = a[i] > a[0] ? a[i] : a[0];
    return a[0];
}

#endif

#if !defined(DOT_OF_SIGNED)
enum { TAKEN_OFF = 0 };
#endif
#if !defined(DOT_OF_FEW_BITS)
#define dot_few dot  // for values of at most 6 bits
#endif

// The lesser of each pair.
INLINE Floats minimum(Floats a, Floats b) { return -maximum(-a, -b); }

INLINE Floats from_brain(const void *from) {  // bfloat16
    return (Floats)(__builtin_convertvector(load_lane_pairs(from), Words) << 16);
}
INLINE Floats from_nibbles(const void *from, int shift) {
    return to_float(__builtin_convertvector(load_lane_bytes(from) >> shift & 15, Ints));
}
INLINE Floats from_power(const void *from) {  // half of E8M0: 2^(e - 128), of which those below 2^-126 are subnormal
    const Ints power = __builtin_convertvector(load_lane_bytes(from), Ints);
    const Ints normal = (power - 1) << 23, subnormal = (power + 1) << 21, low = power < 2;
    return (Floats)((subnormal & low) | (normal & ~low));
}
INLINE Floats from_minifloat(const void *from) {  // half of UE4M3: as a half float, 2^8 times smaller
    const LanePairs halves = __builtin_convertvector(load_lane_bytes(from), LanePairs) << 7;
    return from_half(&halves) * 128.0f;
}
INLINE Floats absolute(Floats a) { return (Floats)((Words)a & 0x7FFFFFFFu); }

// e^a to about one unit in the last place (Cephes' expf); 0 below -87, and e^88 above 88.
INLINE Floats exponential(Floats a) {
    const Ints dead = a < -87.0f, high = a > 88.0f;
    a = (Floats)(((Ints)a & ~dead & ~high) | ((Ints)splat(88.0f) & high));
    const Ints power = to_int(a * 1.44269504088896341f);
    const Floats n = to_float(power);
    const Floats r = fused(n, splat(2.12194440e-4f), fused(n, splat(-0.693359375f), a));
    Floats y = splat(1.9875691500e-4f);
    y = fused(y, r, splat(1.3981999507e-3f));
    y = fused(y, r, splat(8.3334519073e-3f));
    y = fused(y, r, splat(4.1665795894e-2f));
    y = fused(y, r, splat(1.6666665459e-1f));
    y = fused(y, r, splat(5.0000001201e-1f));
    y = fused(y, r * r, r + 1.0f);
    return (Floats)((Ints)(y * (Floats)((power + 127) << 23)) & ~dead);
}

/* float16: IEEE binary16 and bfloat16 bits to and from float, round to nearest even, NaN stays NaN. */
#ifndef BASE_FLOAT16_H
#define BASE_FLOAT16_H

#include <stdint.h>
#include <string.h>

static inline float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t float_to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float bf16_to_float(uint16_t bits) { return float_from_bits((uint32_t)bits << 16); }

static inline uint16_t bf16_from_float(float value)
{
    uint32_t bits = float_to_bits(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)((bits >> 16) | 0x40); /* quiet NaN */
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16);
}

static inline float f16_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = (bits >> 10) & 31;
    uint32_t mantissa = bits & 0x3FFu;
    if (exponent == 31) return float_from_bits(sign | 0x7F800000u | (mantissa << 13));
    if (exponent == 0) { /* zero or subnormal: the value is mantissa * 2^-24, exact in float */
        float magnitude = (float)mantissa * 0x1.0p-24f;
        return sign ? -magnitude : magnitude;
    }
    return float_from_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

static inline uint16_t f16_from_float(float value)
{
    uint32_t bits = float_to_bits(value);
    uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
    bits &= 0x7FFFFFFFu;
    if (bits > 0x7F800000u) return (uint16_t)(sign | 0x7E00u | ((bits >> 13) & 0x3FFu));
    if (bits >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u); /* rounds to infinity */
    if (bits < 0x38800000u) {                                   /* subnormal result */
        /* Adding 0.5 aligns the float's mantissa so that its low bits count 2^-24 units. */
        uint32_t rounded = float_to_bits(float_from_bits(bits) + 0.5f) - 0x3F000000u;
        return (uint16_t)(sign | rounded);
    }
    uint32_t rounded = bits + 0xFFFu + ((bits >> 13) & 1);
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

#endif

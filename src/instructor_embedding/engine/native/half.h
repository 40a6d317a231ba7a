/* Conversions of single 16-bit floats. */
#ifndef HALF_H
#define HALF_H

#include <stdint.h>
#include <string.h>

static inline float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* IEEE half precision: normal values by moving the exponent, subnormal ones as multiples of 2^-24. */
static inline float float_of_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 0)
        return (sign ? -1.f : 1.f) * (float)fraction * 5.9604645e-8f;
    return float_of_bits(sign | (exponent == 31 ? 255u << 23 : (exponent + 112) << 23) | fraction << 13);
}

static inline float float_of_bf16(uint16_t x)
{
    return float_of_bits((uint32_t)x << 16);
}

/* Rounds to the nearest, ties to even. */
static inline uint16_t bf16_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif

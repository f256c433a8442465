// IEEE float32 with denormals, infinities and NaN, rounded to nearest even, by integers alone: what no driver may do
// otherwise. Vulkan promises a quotient to 2.5 units of the last place, and lets denormals be taken for 0. Numbers come
// and go as their bits.

const uint SIGN = 0x80000000u, INFINITE = 0x7f800000u, NOT_A_NUMBER = 0x7fc00000u, ONE = 0x3f800000u;

bool is_finite(uint a) { return (a & INFINITE) != INFINITE; }
bool is_nan(uint a) { return (a & ~SIGN) > INFINITE; }
bool is_zero(uint a) { return (a & ~SIGN) == 0u; }

// The number is fraction / 2^23 * 2^(exponent - 127), the fraction 0 or from 2^23 to 2^24.
void take_apart(uint a, out int exponent, out uint fraction) {
    exponent = int(a >> 23 & 0xffu);
    fraction = a & 0x7fffffu;
    if (exponent != 0) {
        fraction |= 0x800000u;
    } else if (fraction != 0u) {
        int shift = 23 - findMSB(fraction);
        fraction <<= shift;
        exponent = 1 - shift;
    }
}

// fraction / 2^31 * 2^(exponent - 127), rounded once. The last bit of the fraction stands for all that lie below it.
uint put_together(uint sign, int exponent, uint fraction) {
    if (fraction == 0u) return sign;
    int shift = 31 - findMSB(fraction);
    fraction <<= shift;
    exponent -= shift;
    if (exponent >= 255) return sign | INFINITE;
    int drop = exponent > 0 ? 8 : 9 - exponent;  // a denormal's last bit is worth 2^-149
    if (drop > 32) return sign;
    uint kept = drop == 32 ? 0u : fraction >> drop, rest = drop == 32 ? fraction : fraction << (32 - drop);
    if (rest > SIGN || (rest == SIGN && (kept & 1u) != 0u)) kept++;
    return sign | ((exponent > 0 ? uint(exponent - 1) << 23 : 0u) + kept);
}

uint multiplied(uint a, uint b) {
    uint sign = (a ^ b) & SIGN;
    if (!is_finite(a) || !is_finite(b))
        return is_nan(a) || is_nan(b) || is_zero(a) || is_zero(b) ? NOT_A_NUMBER : sign | INFINITE;
    int exponent_a, exponent_b;
    uint fraction_a, fraction_b, high, low;
    take_apart(a, exponent_a, fraction_a);
    take_apart(b, exponent_b, fraction_b);
    umulExtended(fraction_a << 8, fraction_b << 8, high, low);
    return put_together(sign, exponent_a + exponent_b - 126, high | uint(low != 0u));
}

uint added(uint a, uint b) {
    if ((a & ~SIGN) < (b & ~SIGN)) {
        uint larger = b;
        b = a;
        a = larger;
    }
    bool apart = ((a ^ b) & SIGN) != 0u;
    if (!is_finite(a)) return is_nan(a) || (apart && !is_finite(b)) ? NOT_A_NUMBER : a;
    int exponent_a, exponent_b;
    uint fraction_a, fraction_b;
    take_apart(a, exponent_a, fraction_a);
    take_apart(b, exponent_b, fraction_b);
    if (fraction_b == 0u) return fraction_a != 0u ? a : a & b;
    fraction_a <<= 7;
    fraction_b <<= 7;
    int shift = min(exponent_a - exponent_b, 31);
    fraction_b = fraction_b >> shift | uint((fraction_b & ((1u << shift) - 1u)) != 0u);
    uint total = apart ? fraction_a - fraction_b : fraction_a + fraction_b;
    return total == 0u ? 0u : put_together(a & SIGN, exponent_a + 1, total);
}

uint divided(uint a, uint b) {
    uint sign = (a ^ b) & SIGN;
    if (is_nan(a) || is_nan(b) || (is_zero(a) && is_zero(b)) || !(is_finite(a) || is_finite(b))) return NOT_A_NUMBER;
    if (is_zero(a) || !is_finite(b)) return sign;
    if (is_zero(b) || !is_finite(a)) return sign | INFINITE;
    int exponent_a, exponent_b;
    uint fraction_a, fraction_b;
    take_apart(a, exponent_a, fraction_a);
    take_apart(b, exponent_b, fraction_b);
    int exponent = exponent_a - exponent_b + 127;
    if (fraction_a < fraction_b) {
        fraction_a <<= 1;
        exponent--;
    }
    // Of the driver's quotient nothing is asked but to be near. What is left over tells how far it is off; it is small,
    // so that its lower 32 bits are all of it.
    precise float near = float(fraction_a) / float(fraction_b) * 16777216.0;
    uint quotient = uint(near);
    int rest = int((fraction_a << 24) - quotient * fraction_b), divisor = int(fraction_b);
    for (int k = 0; k < 64 && rest < 0; k++, rest += divisor) quotient--;
    for (int k = 0; k < 64 && rest >= divisor; k++, rest -= divisor) quotient++;
    return put_together(sign, exponent, quotient << 7 | uint(rest != 0));
}

// Smaller numbers have smaller ones, and both zeros the same.
int order(uint a) { return (a & SIGN) == 0u ? int(a) : -int(a & ~SIGN); }

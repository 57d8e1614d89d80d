
/*
 * What these numbers mean: h = relu(z W1 + b1), y = output_sigmoid(h W2 + b2), and a pixel is 255 y + 0.5, truncated.
 * Every sum is one chain of fused multiply-adds in ascending order, stored plus 0. Products of floats are made in double,
 * where they are exact, and rounded by a cast: so no compiler can contract them into a sum, whatever it is allowed to.
 */

static float duel_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* x y, rounded once. */
static float duel_mul(float x, float y)
{
    return (float)((double)x * (double)y);
}

/* x y + z, rounded once: the exact product and a double sum that is rounded to odd. */
static float duel_fma(float x, float y, float z)
{
    double product = (double)x * (double)y;
    double addend = (double)z;
    double sum = product + addend;
    double part = sum - product;
    double error = (product - (sum - part)) + (addend - part);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if (error != 0.0 && sum - sum == 0.0 && (bits & 1) == 0) {
        bits = (error > 0.0) == (sum > 0.0) ? bits + 1 : bits - 1;
        memcpy(&sum, &bits, sizeof sum);
    }
    return (float)sum;
}

/* 2 to the n, for an integral n in -126..127. */
static float duel_power(float n)
{
    float shifted = n + 12583039.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return duel_float(bits << 23);
}

/* x times 2 to the n, for an integral n in -252..252, in two steps. */
static float duel_scale(float x, float n)
{
    float half = duel_fma(n, 0.5f, 12582912.0f) - 12582912.0f;
    return duel_mul(duel_mul(x, duel_power(half)), duel_power(n - half));
}

/* 1 / (1 + exp(-x)), and exactly 0 where 1 minus that rounds to 1. */
static float duel_sigmoid(float x)
{
    static const float series[7] = { 1.0f / 40320.0f, 1.0f / 5040.0f, 1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f,
                                     1.0f / 6.0f, 0.5f };
    const float ln2_high = 355.0f / 512.0f, ln2_low = duel_float(0xb95e8083u), log2_e = duel_float(0x3fb8aa3bu);
    float a, n, exact, r, r_low, sum, tail, first, rest, high, low, power, e, e_low, d, d_low, inverse, correction, top, top_low,
        quotient;
    int i;
    if (x <= duel_float(0xc18aa123u)) {
        return 0.0f;
    }
    a = x > 0.0f ? -x : x;
    a = a < -105.0f ? -105.0f : a;
    n = duel_fma(a, log2_e, 12582912.0f) - 12582912.0f;
    exact = duel_fma(n, -ln2_high, a);
    r = duel_fma(n, -ln2_low, exact);
    r_low = duel_fma(n, -ln2_low, exact - r);
    sum = series[0];
    for (i = 1; i < 7; i++) {
        sum = duel_fma(sum, r, series[i]);
    }
    tail = duel_fma(duel_mul(r, r), sum, r_low);
    first = 1.0f + r;
    rest = ((1.0f - first) + r) + tail;
    high = first + rest;
    low = (first - high) + rest;
    power = duel_power(n < -64.0f ? -64.0f : n);
    e = duel_mul(high, power);
    e_low = duel_mul(low, power);
    d = 1.0f + e;
    d_low = ((1.0f - d) + e) + e_low;
    inverse = 1.0f / d;
    correction = duel_fma(-inverse, d_low, duel_fma(-inverse, d, 1.0f));
    top = x < 0.0f ? high : 1.0f;
    top_low = x < 0.0f ? low : 0.0f;
    quotient = duel_mul(top, inverse);
    rest = duel_fma(quotient, correction, duel_fma(top_low, inverse, duel_fma(top, inverse, -quotient)));
    return duel_scale(quotient + rest, x < 0.0f ? n : 0.0f);
}

/* y[j] = the chain of x[k] w[k][j] over ascending k, from what y holds; terms that are 0 are left out. */
static void duel_chain(const float *x, int terms, const uint32_t *w, int outputs, float *y)
{
    int j, k;
    for (k = 0; k < terms; k++) {
        if (x[k] != 0.0f) {
            for (j = 0; j < outputs; j++) {
                y[j] = duel_fma(x[k], duel_float(w[(long)k * outputs + j]), y[j]);
            }
        }
    }
}

static uint64_t duel_splitmix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t duel_rotated(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

/* The noise of a sample: uniform in [-1, 1), from xoshiro256++ in a state that seed and index alone determine. */
void duel_noise(uint64_t seed, uint64_t index, float z[DUEL_LATENT])
{
    uint64_t s[4], h = 0, output, shifted;
    int i;
    h = duel_splitmix(h ^ seed);
    h = duel_splitmix(h ^ 4);
    h = duel_splitmix(h ^ index);
    h = duel_splitmix(h ^ 0);
    for (i = 0; i < 4; i++) {
        s[i] = duel_splitmix(h + (uint64_t)i * 0x9e3779b97f4a7c15u);
    }
    for (i = 0; i < DUEL_LATENT; i++) {
        output = duel_rotated(s[0] + s[3], 23) + s[0];
        shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = duel_rotated(s[3], 45);
        z[i] = (float)((double)(output >> 40) * (1.0 / 8388608.0) - 1.0);
    }
}

/* The image of a noise vector, a byte per pixel, row by row: white ink on black. */
DUEL_SIGNATURE
{
    float h[DUEL_HIDDEN], y[DUEL_PIXELS];
    int j;
    memset(h, 0, sizeof h);
    memset(y, 0, sizeof y);
    duel_chain(z, DUEL_LATENT, duel_w1, DUEL_HIDDEN, h);
    DUEL_CLASS_TERM
    for (j = 0; j < DUEL_HIDDEN; j++) {
        h[j] = (h[j] + 0.0f) + duel_float(duel_b1[j]);
        h[j] = h[j] > 0.0f ? h[j] : 0.0f;
    }
    duel_chain(h, DUEL_HIDDEN, duel_w2, DUEL_PIXELS, y);
    for (j = 0; j < DUEL_PIXELS; j++) {
        y[j] = duel_sigmoid((y[j] + 0.0f) + duel_float(duel_b2[j]));
        /* Not a number, which noise as large as floats get can come to, has no integer. */
        pixels[j] = y[j] > 0.0f ? (unsigned char)(duel_mul(255.0f, y[j]) + 0.5f) : 0;
    }
}

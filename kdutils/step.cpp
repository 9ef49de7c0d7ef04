// Forward and backward pass of small convolutional networks on one core, image by image, so that activations stay in
// the nearest cache. Compiled by `kdutils.compiled` for this machine, with REAL (float or double) and WIDEST, of which
// all widths are multiples.
// Activations are (H, W, C), weights (3, 3, C_in, C_out) and (features, columns), each followed by its bias.
#include <algorithm>
#include <cstring>

#if defined(__AVX512F__)
constexpr long NATIVE = 64;
#elif defined(__AVX__)
constexpr long NATIVE = 32;
#else
constexpr long NATIVE = 16;
#endif
constexpr long BYTES = std::min(NATIVE, long(WIDEST * sizeof(REAL)));
typedef REAL vec __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));
constexpr long LANES = BYTES / sizeof(REAL), TALL = BYTES == 64 ? 8 : 4, WIDE = BYTES == 64 ? 3 : 2;

static vec &at(REAL *p) { return *(vec *)p; }
static const vec &at(const REAL *p) { return *(const vec *)p; }

struct Product {  // C[h, m, n] += sum over i, k of A[h, m, i, k] B[i, k, n]; letters that follow a name are its strides
    long H, M, N, I, K, Ah, Am, Ai, Ak, Bk, Ch, Cm;
};

template <int R, int V> static void tile(const Product &p, const REAL *a, const REAL *b, REAL *c) {
    vec sum[R][V] = {};
    for (long i = 0; i < p.I; i++) {
        const REAL *x = a + i * p.Ai;
        for (long k = 0; k < p.K; k++, x += p.Ak, b += p.Bk)
            for (int r = 0; r < R; r++)
                for (int v = 0; v < V; v++) sum[r][v] += x[r * p.Am] * at(b + v * LANES);
    }
    for (int r = 0; r < R; r++)  // one after another: rows of C may overlap
        for (int v = 0; v < V; v++) at(c + r * p.Cm + v * LANES) += sum[r][v];
}

template <int V, int R = TALL> static void rows(const Product &p, long m, const REAL *a, const REAL *b, REAL *c) {
    if constexpr (R > 0) m == R ? tile<R, V>(p, a, b, c) : rows<V, R - 1>(p, m, a, b, c);
}

static void multiply(const Product &p, const REAL *a, const REAL *b, REAL *c) {
    long tiles = (p.M + TALL - 1) / TALL, vectors = p.N / LANES;
    for (long n = 0, wide; n < vectors; n += wide) {
        wide = vectors - n == 4 && WIDE == 3 ? 2 : std::min(WIDE, vectors - n);
        for (long h = 0; h < p.H; h++)
            for (long t = 0; t < tiles; t++) {
                long m = p.M * t / tiles, size = p.M * (t + 1) / tiles - m;
                const REAL *x = a + h * p.Ah + m * p.Am, *y = b + n * LANES;
                REAL *z = c + h * p.Ch + m * p.Cm + n * LANES;
                wide == 1 ? rows<1>(p, size, x, y, z) : wide == 2 ? rows<2>(p, size, x, y, z) : rows<3>(p, size, x, y, z);
            }
    }
}

struct Layer {  // a convolution, its activation, and a max-pool of 2 at stride 1 if `pool`
    long height, width, channels;  // of its output
    long in_width, in_channels, in_size;  // of its input, padding included; the first layer's are patches, I = 1
    long I, K, stride;
    long out_width, out_start, out_size;  // of what the next layer takes, which may be padded
    long pool, active;
    REAL slope;
    long pixels() const { return height * width * channels; }
    Product forward() const {
        return {height, width, channels, I, K, stride * in_width * in_channels, stride * in_channels,
                in_width * in_channels, 1, channels, width * channels, channels};
    }
};

struct Network {
    long layers, features, columns;
    const Layer *layer;
};

static void transpose(const REAL *from, REAL *to, long height, long width) {
    for (long j = 0; j < width; j++)
        for (long i = 0; i < height; i++) to[j * height + i] = from[i * width + j];
}

// Activations of one image lie one after another: of each layer its output before pooling, then the next one's input.
extern "C" void forward(const Network *net, const REAL *weights, const REAL *images, long image, const long *rows_of,
                        long count, REAL *tape, long taped, REAL *features, REAL *logits) {
    for (long b = 0; b < count; b++) {
        const REAL *x = images + rows_of[b] * image, *w = weights;
        REAL *y = tape + b * taped;
        for (long l = 0; l < net->layers; l++) {
            const Layer &of = net->layer[l];
            const REAL *bias = w + of.I * of.K * of.channels;
            long size = of.pixels();
            for (long i = 0; i < size; i += of.channels) memcpy(y + i, bias, of.channels * sizeof(REAL));
            multiply(of.forward(), x, w, y);
            REAL *out = l + 1 < net->layers ? y + size : features + b * net->features;
            if (of.active)
                for (long i = 0; i < size; i += LANES) at(y + i) = at(y + i) > 0 ? at(y + i) : at(y + i) * of.slope;
            for (long h = 0; h < of.height; h++) {
                REAL *to = out + of.out_start + h * of.out_width * of.channels;
                const REAL *from = y + h * of.width * of.channels;
                long line = of.width * of.channels;
                if (!of.pool) {
                    memcpy(to, from, line * sizeof(REAL));
                    continue;
                }
                long below = h + 1 < of.height ? line : 0;
                for (long i = 0; i < line; i += LANES) {
                    long right = i + of.channels < line ? of.channels : 0;
                    vec u = at(from + i) > at(from + i + right) ? at(from + i) : at(from + i + right);
                    vec d = at(from + i + below) > at(from + i + below + right) ? at(from + i + below)
                                                                                : at(from + i + below + right);
                    at(to + i) = u > d ? u : d;
                }
            }
            w = bias + of.channels;
            x = y + size;
            y += size + of.out_size;
        }
    }
    const REAL *w = weights;
    for (long l = 0; l < net->layers; l++) w += (net->layer[l].I * net->layer[l].K + 1) * net->layer[l].channels;
    const REAL *bias = w + net->features * net->columns;
    for (long b = 0; b < count; b++) memcpy(logits + b * net->columns, bias, net->columns * sizeof(REAL));
    multiply({1, count, net->columns, 1, net->features, 0, net->features, 0, 1, net->columns, 0, net->columns},
             features, w, logits);
}

// `gradients` begin as zeros; `room` holds the transposed weights and two images' gradients.
extern "C" void backward(const Network *net, const REAL *weights, const REAL *images, long image, const long *rows_of,
                         long count, REAL *tape, long taped, const REAL *features, const REAL *slopes, REAL *gradients, REAL *room) {
    long at_layer[16], total = 0, columns = net->columns, width = net->features;
    for (long l = 0; l < net->layers; l++) {
        const Layer &of = net->layer[l];
        at_layer[l] = total;
        for (long i = 0; l && i < of.I; i++)
            transpose(weights + total + i * of.K * of.channels, room + total + i * of.K * of.channels, of.K, of.channels);
        total += (of.I * of.K + 1) * of.channels;
    }
    transpose(weights + total, room + total, width, columns);
    REAL *dense = gradients + total, *g = room + total + width * columns, *first = g + count * width;
    multiply({1, width, columns, 1, count, 0, 1, 0, width, columns, 0, columns}, features, slopes, dense);
    for (long i = 0; i < count * columns; i++) dense[width * columns + i % columns] += slopes[i];
    memset(g, 0, count * width * sizeof(REAL));
    multiply({1, count, width, 1, columns, 0, columns, 0, 1, width, 0, width}, slopes, room + total, g);
    for (long b = 0; b < count; b++) {
        REAL *given = g + b * width, *y = tape + (b + 1) * taped, *gy = first;
        for (long l = net->layers - 1; l >= 0; l--) {
            const Layer &of = net->layer[l];
            long size = of.pixels(), line = of.width * of.channels;
            y -= size + of.out_size;
            REAL *weight = gradients + at_layer[l], *bias = weight + of.I * of.K * of.channels;
            if (of.pool) memset(gy, 0, size * sizeof(REAL));
            for (long h = 0; h < of.height; h++) {
                const REAL *from = given + of.out_start + h * of.out_width * of.channels, *v = y + h * line;
                REAL *to = gy + h * line;
                if (!of.pool) {
                    memcpy(to, from, line * sizeof(REAL));
                    continue;
                }
                long below = h + 1 < of.height ? line : 0;
                for (long i = 0; i < line; i += LANES) {  // to the first of the largest, as PyTorch does
                    long right = i + of.channels < line ? of.channels : 0, place[4] = {i, i + right, i + below, i + below + right};
                    vec left = at(from + i), top = at(v + i);
                    for (int j = 1; j < 4; j++) top = top > at(v + place[j]) ? top : at(v + place[j]);
                    for (int j = 0; j < 4; j++) {
                        auto here = at(v + place[j]) == top;
                        at(to + place[j]) += here ? left : left * 0;
                        left = here ? left * 0 : left;
                    }
                }
            }
            if (of.active)
                for (long i = 0; i < size; i += LANES) at(gy + i) = at(y + i) > 0 ? at(gy + i) : at(gy + i) * of.slope;
            for (long i = 0; i < size; i += of.channels)
                for (long c = 0; c < of.channels; c += LANES) at(bias + c) += at(gy + i + c);
            const REAL *x = l ? y - net->layer[l - 1].out_size : images + rows_of[b] * image;
            Product p = of.forward();
            for (long i = 0; i < of.I; i++)
                multiply({1, of.K, of.channels, of.height, of.width, 0, 1, p.Ah, p.Am, of.channels, 0, of.channels},
                         x + i * p.Ai, gy, weight + i * of.K * of.channels);
            if (!l) break;
            REAL *next = gy + size;
            memset(next, 0, of.in_size * sizeof(REAL));
            for (long i = 0; i < of.I; i++)
                multiply({of.height, of.width, of.K, 1, of.channels, line, of.channels, 0, 1, of.K, p.Ah, p.Am}, gy,
                         room + at_layer[l] + i * of.K * of.channels, next + i * p.Ai);
            given = next;
            gy = next + of.in_size;
        }
    }
}

// Forward and backward pass of small convolutional networks on one core, few images at a time, so that activations stay
// in the nearest caches. Compiled by `kdutils.compiled` for this machine, with REAL (float or double) and WIDEST, of
// which all widths are multiples.
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
    bool anew;  // C = instead of C +=
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
        for (int v = 0; v < V; v++) {
            vec &there = at(c + r * p.Cm + v * LANES);
            there = p.anew ? sum[r][v] : there + sum[r][v];
        }
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
    long winograd;  // where its part of `room` begins, if it is convolved by Winograd's tiles; -1 if not
    REAL slope;
    long pixels() const { return height * width * channels; }
    long tiles() const { return height / 4 * (width / 4); }
    Product forward() const {
        return {height, width, channels, I, K, stride * in_width * in_channels, stride * in_channels,
                in_width * in_channels, 1, channels, width * channels, channels};
    }
};

struct Network {
    long layers, features, columns;
    long block;  // how many images pass a layer before the next layer
    long room;  // how much of `room` the layers by Winograd's tiles take
    const Layer *layer;
};

static void transpose(const REAL *from, REAL *to, long height, long width) {
    for (long top = 0; top < height; top += 16)  // squares, so that neither side leaves the nearest cache
        for (long j = 0; j < width; j++)
            for (long i = top; i < std::min(top + 16, height); i++) to[j * height + i] = from[i * width + j];
}

// Winograd's F(4x4, 3x3), for convolutions of stride 1 (Lavin and Gray 2016, arXiv 1509.09308): four by four outputs take
// 36 products a channel instead of 144. With U = G w Gᵀ of the weights and V = Bᵀ x B of each tile of 6x6 inputs,
// y = Aᵀ (Σ U V) A; its gradients are the same steps transposed, in the opposite order. Aᵀ, Bᵀ and G are those of the
// points 0, ±1, ±2.
struct Bt {
    static void go(const vec (&x)[6], vec (&y)[6]) {
        vec a = x[4] - 4 * x[2], b = x[3] - 4 * x[1], c = x[4] - x[2], d = 2 * (x[3] - x[1]);
        y[0] = 4 * x[0] - 5 * x[2] + x[4], y[1] = a + b, y[2] = a - b;
        y[3] = c + d, y[4] = c - d, y[5] = 4 * x[1] - 5 * x[3] + x[5];
    }
};
struct B {
    static void go(const vec (&y)[6], vec (&x)[6]) {
        vec a = y[1] + y[2], b = y[1] - y[2], c = y[3] + y[4], d = y[3] - y[4];
        x[0] = 4 * y[0], x[1] = 4 * (y[5] - b) - 2 * d, x[2] = -5 * y[0] - 4 * a - c;
        x[3] = b + 2 * d - 5 * y[5], x[4] = y[0] + a + c, x[5] = y[5];
    }
};
struct At {
    static void go(const vec (&x)[6], vec (&y)[4]) {
        vec a = x[1] + x[2], b = x[1] - x[2], c = x[3] + x[4], d = x[3] - x[4];
        y[0] = x[0] + a + c, y[1] = b + 2 * d, y[2] = a + 4 * c, y[3] = b + 8 * d + x[5];
    }
};
struct A {
    static void go(const vec (&y)[4], vec (&x)[6]) {
        vec a = y[0] + y[2], b = y[1] + y[3], c = y[0] + 4 * y[2], d = 2 * y[1] + 8 * y[3];
        x[0] = y[0], x[1] = a + b, x[2] = a - b, x[3] = c + d, x[4] = c - d, x[5] = y[3];
    }
};
struct G {
    static void go(const vec (&w)[3], vec (&u)[6]) {
        vec a = (w[0] + w[2]) / -6, b = w[1] / -6, c = (w[0] + 4 * w[2]) / 24, d = w[1] / 12;
        u[0] = w[0] / 4, u[1] = a + b, u[2] = a - b, u[3] = c + d, u[4] = c - d, u[5] = w[2];
    }
};
struct Gt {
    static void go(const vec (&u)[6], vec (&w)[3]) {
        vec a = (u[1] + u[2]) / -6, b = (u[1] - u[2]) / -6, c = (u[3] + u[4]) / 24, d = (u[3] - u[4]) / 12;
        w[0] = u[0] / 4 + a + c, w[1] = b + d, w[2] = a + 4 * c + u[5];
    }
};

// Vectors at from + i * row + j * column become, through F on both axes, those at to + i * to_row + j * to_column.
template <class F, int N, int M, bool ADD = false>
static void both(const REAL *from, long row, long column, REAL *to, long to_row, long to_column, vec bias = vec{}) {
    vec half[M][N], in[N], out[M];
    for (int j = 0; j < N; j++) {
        for (int i = 0; i < N; i++) in[i] = at(from + i * row + j * column);
        F::go(in, out);
        for (int i = 0; i < M; i++) half[i][j] = out[i];
    }
    for (int i = 0; i < M; i++) {
        F::go(half[i], out);
        for (int j = 0; j < M; j++) {
            vec &there = at(to + i * to_row + j * to_column);
            there = ADD ? there + out[j] : out[j] + bias;
        }
    }
}

// Calls f(image, place of the tile's outputs, place of its inputs, row of the tile) for all tiles of n images.
template <class F> static void each_tile(const Layer &of, long n, long in_channels, F f) {
    for (long b = 0, t = 0; b < n; b++)
        for (long i = 0; i < of.height; i += 4)
            for (long j = 0; j < of.width; j += 4, t++)
                f(b, (i * of.width + j) * of.channels, (i * of.in_width + j) * in_channels, t);
}

// One layer, with its part of `room`: U and its gradient, then V, its gradient and M of a block of images. The 36 parts of
// each lie a cache line off a power of two, or all would fight for a few places in the nearest cache.
struct Winograd {
    const Layer &of;
    long in, out, each, u, v, m;  // channels, their product, and how far apart the parts of U, V and M lie
    REAL *U, *dU, *V, *dV, *M;
    Winograd(const Layer &layer, long block, REAL *room) : of(layer), in(layer.K / 3), out(layer.channels), each(in * out) {
        long rows = block * of.tiles(), line = 64 / sizeof(REAL);
        u = each + line, v = rows * in + line, m = rows * out + line;
        U = room + of.winograd, dU = U + 36 * u, V = dU + 36 * u, dV = V + 36 * v, M = dV + 36 * v;
    }
    void inputs(long n, const REAL *const *x) const {
        each_tile(of, n, in, [&](long b, long, long place, long t) {
            for (long c = 0; c < in; c += LANES)
                both<Bt, 6, 6>(x[b] + place + c, of.in_width * in, in, V + t * in + c, 6 * v, v);
        });
    }
    void forward(long n, const REAL *const *x, const REAL *bias, REAL *const *y) const {
        inputs(n, x);
        for (long f = 0; f < 36; f++)
            multiply({1, n * of.tiles(), out, 1, in, 0, in, 0, 1, out, 0, out, true}, V + f * v, U + f * u, M + f * m);
        each_tile(of, n, in, [&](long b, long place, long, long t) {
            for (long c = 0; c < out; c += LANES)
                both<At, 6, 4>(M + t * out + c, 6 * m, m, y[b] + place + c, of.width * out, out, at(bias + c));
        });
    }
    // Adds to dU and to the inputs' gradients; U is of the transposed weights here.
    void backward(long n, const REAL *const *x, const REAL *const *gy, REAL *const *gx) const {
        inputs(n, x);
        each_tile(of, n, in, [&](long b, long place, long, long t) {
            for (long c = 0; c < out; c += LANES)
                both<A, 4, 6>(gy[b] + place + c, of.width * out, out, M + t * out + c, 6 * m, m);
        });
        for (long f = 0; f < 36; f++) {
            multiply({1, in, out, 1, n * of.tiles(), 0, 1, 0, in, out, 0, out}, V + f * v, M + f * m, dU + f * u);
            multiply({1, n * of.tiles(), in, 1, out, 0, out, 0, 1, in, 0, in, true}, M + f * m, U + f * u, dV + f * v);
        }
        each_tile(of, n, in, [&](long b, long, long place, long t) {
            for (long c = 0; c < in; c += LANES)
                both<B, 6, 6, true>(dV + t * in + c, 6 * v, v, gx[b] + place + c, of.in_width * in, in);
        });
    }
    void weights(const REAL *w) const {  // (3, 3, in, out)
        for (long i = 0; i < each; i += LANES) both<G, 3, 6>(w + i, 3 * each, each, U + i, 6 * u, u);
    }
    void transposed(const REAL *w) const {  // (3, out, 3, in)
        for (long r = 0; r < out; r++)
            for (long c = 0; c < in; c += LANES) both<G, 3, 6>(w + r * of.K + c, 3 * each, in, U + r * in + c, 6 * u, u);
    }
    void gradient(REAL *w) const {
        for (long i = 0; i < each; i += LANES) both<Gt, 6, 3, true>(dU + i, 6 * u, u, w + i, 3 * each, each);
    }
};

static void activate_and_pool(const Layer &of, REAL *y, REAL *out) {
    long size = of.pixels(), line = of.width * of.channels;
    if (of.active)
        for (long i = 0; i < size; i += LANES) at(y + i) = at(y + i) > 0 ? at(y + i) : at(y + i) * of.slope;
    for (long h = 0; h < of.height; h++) {
        REAL *to = out + of.out_start + h * of.out_width * of.channels;
        const REAL *from = y + h * line;
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
}

static void slopes_before_pool(const Layer &of, const REAL *y, const REAL *given, REAL *gy) {
    long size = of.pixels(), line = of.width * of.channels;
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
}

constexpr long MOST = 8;  // images of a block

// Activations of one image lie one after another: of each layer its output before pooling, then the next one's input.
extern "C" void forward(const Network *net, const REAL *weights, const REAL *images, long image, const long *rows_of,
                        long count, REAL *tape, long taped, REAL *features, REAL *room, REAL *logits) {
    const REAL *w = weights;
    for (long l = 0; l < net->layers; l++) {
        const Layer &of = net->layer[l];
        if (of.winograd >= 0) Winograd(of, net->block, room).weights(w);
        w += (of.I * of.K + 1) * of.channels;
    }
    const REAL *dense = w, *last = w + net->features * net->columns;
    for (long from = 0; from < count; from += net->block) {
        long n = std::min(net->block, count - from);
        const REAL *x[MOST];
        REAL *y[MOST];
        for (long b = 0; b < n; b++) x[b] = images + rows_of[from + b] * image, y[b] = tape + (from + b) * taped;
        w = weights;
        for (long l = 0; l < net->layers; l++) {
            const Layer &of = net->layer[l];
            const REAL *bias = w + of.I * of.K * of.channels;
            long size = of.pixels();
            if (of.winograd >= 0) Winograd(of, net->block, room).forward(n, x, bias, y);
            for (long b = 0; b < n; b++) {
                if (of.winograd < 0) {
                    for (long i = 0; i < size; i += of.channels) memcpy(y[b] + i, bias, of.channels * sizeof(REAL));
                    multiply(of.forward(), x[b], w, y[b]);
                }
                activate_and_pool(of, y[b], l + 1 < net->layers ? y[b] + size : features + (from + b) * net->features);
                x[b] = y[b] + size;
                y[b] += size + of.out_size;
            }
            w = bias + of.channels;
        }
    }
    for (long b = 0; b < count; b++) memcpy(logits + b * net->columns, last, net->columns * sizeof(REAL));
    multiply({1, count, net->columns, 1, net->features, 0, net->features, 0, 1, net->columns, 0, net->columns},
             features, dense, logits);
}

// `gradients` begin as zeros; `room` holds, too, the transposed weights and the gradients of a block of images.
extern "C" void backward(const Network *net, const REAL *weights, const REAL *images, long image, const long *rows_of,
                         long count, REAL *tape, long taped, const REAL *features, REAL *room, const REAL *slopes,
                         REAL *gradients) {
    long at_layer[16], total = 0, columns = net->columns, width = net->features, taken = 0;
    REAL *turned = room + net->room;
    for (long l = 0; l < net->layers; l++) {
        const Layer &of = net->layer[l];
        at_layer[l] = total;
        for (long i = 0; l && i < of.I; i++)
            transpose(weights + total + i * of.K * of.channels, turned + total + i * of.K * of.channels, of.K, of.channels);
        if (of.winograd >= 0) {
            Winograd by(of, net->block, room);
            by.transposed(turned + total);
            memset(by.dU, 0, 36 * by.u * sizeof(REAL));
        }
        total += (of.I * of.K + 1) * of.channels;
        taken += of.pixels() + of.in_size;
    }
    transpose(weights + total, turned + total, width, columns);
    REAL *dense = gradients + total, *g = turned + total + width * columns, *first = g + count * width;
    multiply({1, width, columns, 1, count, 0, 1, 0, width, columns, 0, columns}, features, slopes, dense);
    for (long i = 0; i < count * columns; i++) dense[width * columns + i % columns] += slopes[i];
    multiply({1, count, width, 1, columns, 0, columns, 0, 1, width, 0, width, true}, slopes, turned + total, g);
    for (long from = 0; from < count; from += net->block) {
        long n = std::min(net->block, count - from);
        const REAL *given[MOST], *x[MOST];
        REAL *y[MOST], *gy[MOST], *next[MOST];
        for (long b = 0; b < n; b++)
            given[b] = g + (from + b) * width, y[b] = tape + (from + b + 1) * taped, gy[b] = first + b * taken;
        for (long l = net->layers - 1; l >= 0; l--) {
            const Layer &of = net->layer[l];
            Product p = of.forward();
            long size = of.pixels(), line = of.width * of.channels;
            REAL *weight = gradients + at_layer[l], *bias = weight + of.I * of.K * of.channels;
            for (long b = 0; b < n; b++) {
                y[b] -= size + of.out_size;
                slopes_before_pool(of, y[b], given[b], gy[b]);
                for (long i = 0; i < size; i += of.channels)
                    for (long c = 0; c < of.channels; c += LANES) at(bias + c) += at(gy[b] + i + c);
                x[b] = l ? y[b] - net->layer[l - 1].out_size : images + rows_of[from + b] * image;
                next[b] = gy[b] + size;
                if (l) memset(next[b], 0, of.in_size * sizeof(REAL));
            }
            if (of.winograd >= 0) Winograd(of, net->block, room).backward(n, x, gy, next);
            for (long b = 0; b < n; b++) {
                for (long i = 0; i < of.I && of.winograd < 0; i++) {
                    multiply({1, of.K, of.channels, of.height, of.width, 0, 1, p.Ah, p.Am, of.channels, 0, of.channels},
                             x[b] + i * p.Ai, gy[b], weight + i * of.K * of.channels);
                    if (l)
                        multiply({of.height, of.width, of.K, 1, of.channels, line, of.channels, 0, 1, of.K, p.Ah, p.Am},
                                 gy[b], turned + at_layer[l] + i * of.K * of.channels, next[b] + i * p.Ai);
                }
                given[b] = next[b];
                gy[b] = next[b] + of.in_size;
            }
        }
    }
    for (long l = 0; l < net->layers; l++)
        if (net->layer[l].winograd >= 0) Winograd(net->layer[l], net->block, room).gradient(gradients + at_layer[l]);
}

"""Table 7's totals, literally, and Keras's layers against slow references."""

import functools
import itertools
import re

import numpy as np
import pytest
import torch
from torch import nn

from kdutils.errors import UserError
from kdutils.models import (
    INPUT_SHAPES,
    ROLES,
    VARIANTS,
    SameConv2d,
    SameMaxPool2d,
    count_multiply_adds,
    count_parameters,
    create_model,
    same_padding,
)

TABLE_7 = {
    ("mnist", "teacher-large"): 2_560_906,
    ("mnist", "teacher-small"): 1_433_610,
    ("mnist", "student"): 20_490,
    ("mnist", "student-baseline"): 7_850,
    ("fashion_mnist", "teacher-large"): 2_339_850,
    ("fashion_mnist", "teacher-small"): 1_558_538,
    ("fashion_mnist", "student"): 50_186,
    ("fashion_mnist", "student-baseline"): 7_850,
    ("cifar10", "teacher-large"): 26_902_442,
    ("cifar10", "teacher-small"): 5_674_634,
    ("cifar10", "student"): 534_666,
    ("cifar10", "student-baseline"): 30_730,
}
# Table 7's other columns: convolutions, dense layers, dropout, batch normalisation. CIFAR-10 small has one dense layer
# there and two here, which is what its total needs. The last three are ours.
LAYERS = {
    ("mnist", "teacher-large"): (3, 3, True, False),
    ("mnist", "teacher-small"): (2, 1, False, False),
    ("mnist", "student"): (2, 1, False, False),
    ("fashion_mnist", "teacher-large"): (4, 4, True, False),
    ("fashion_mnist", "teacher-small"): (3, 1, False, False),
    ("fashion_mnist", "student"): (2, 1, False, False),
    ("cifar10", "teacher-large"): (8, 3, True, True),
    ("cifar10", "teacher-small"): (3, 2, False, False),
    ("cifar10", "student"): (3, 1, False, False),
    ("digits", "teacher-large"): (3, 3, True, False),
    ("digits", "teacher-small"): (2, 1, False, False),
    ("digits", "student"): (2, 1, False, False),
}
ALL = [(dataset, role) for dataset in INPUT_SHAPES for role in ROLES]


@functools.cache
def model_of(dataset, role):
    """A network that tests may look at and run, but not change; the largest has 27 million weights."""
    return create_model(dataset, role, seed=0).eval()


def images_of(dataset, n=2, seed=0):
    channels, size = INPUT_SHAPES[dataset]
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed))


# Table 7


@pytest.mark.parametrize("key, total", list(TABLE_7.items()))
def test_totals_of_table_7(key, total):
    assert count_parameters(model_of(*key)) == total


@pytest.mark.parametrize("key", ALL)
def test_layers_of_table_7(key):
    counts = dict.fromkeys((nn.Conv2d, nn.Linear, nn.Dropout, nn.BatchNorm2d), 0)
    for module in model_of(*key).modules():
        for kind in counts:
            counts[kind] += isinstance(module, kind)
    convolutions, dense, dropout, batch_norm = counts.values()
    assert (convolutions, dense, dropout > 0, batch_norm > 0) == LAYERS.get(key, (0, 1, False, False))


def test_batch_normalisation_counts_four_numbers_a_channel():
    assert count_parameters(nn.BatchNorm2d(7)) == 4 * 7
    assert count_parameters(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm2d(5))) == 3 * 2 + 2 + 4 * 5


def test_the_keras_pair_has_keras_layers():
    """LeakyReLU and pooling after the first convolution, nothing after the last, which goes flat into the logits."""
    for role in ("teacher-small", "student"):
        kinds = [type(m) for m in model_of("mnist", role).features]
        assert kinds == [SameConv2d, nn.LeakyReLU, SameMaxPool2d, SameConv2d, nn.Flatten]
        assert model_of("mnist", role).features[1].negative_slope == 0.2


def test_capacity_falls_from_teacher_to_baseline():
    for dataset in INPUT_SHAPES:
        totals = [count_parameters(model_of(dataset, role)) for role in ROLES]
        assert totals == sorted(totals, reverse=True)


# Multiply-adds


def test_multiply_adds_of_the_mnist_student_by_hand():
    """14·14·16·9 + 7·7·32·9·16 + 1568·10, and 784·10 for the baseline."""
    assert count_multiply_adds(model_of("mnist", "student"), "mnist") == 28_224 + 225_792 + 15_680 == 269_696
    assert count_multiply_adds(model_of("mnist", "student-baseline"), "mnist") == 7_840


def test_counting_leaves_the_model_as_it_was():
    model = create_model("digits", "teacher-large", seed=0)
    model.train()
    first = count_multiply_adds(model, "digits")
    assert model.training and count_multiply_adds(model, "digits") == first
    assert not any(m._forward_hooks for m in model.modules())
    normalised = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    before = {name: value.clone() for name, value in normalised.state_dict().items()}
    assert count_multiply_adds(normalised, "digits") == 6 * 6 * 2 * 9
    assert all(torch.equal(before[name], value) for name, value in normalised.state_dict().items())


# Keras's "same" padding


def test_padding_by_the_definition():
    """ceil(n / stride) outputs; the odd zero at the end."""
    assert same_padding(28, 3, 2) == same_padding(8, 3, 2) == (0, 1)
    assert same_padding(7, 3, 2) == same_padding(28, 3, 1) == (1, 1)
    assert same_padding(14, 2, 1) == (0, 1) and same_padding(5, 1, 2) == (0, 0)


def reference_same(x, stride, kernel, out_channels, combine, fill):
    """Keras's definition, one output at a time: x (H, W, C), windows that start at -before, `fill` outside."""
    size = x.shape[0]
    outputs = -(-size // stride)
    before = max((outputs - 1) * stride + kernel - size, 0) // 2
    result = np.empty((outputs, outputs, out_channels))
    for i in range(outputs):
        for j in range(outputs):
            window = np.full((kernel, kernel, x.shape[2]), fill)
            for a in range(kernel):
                for b in range(kernel):
                    row, column = i * stride - before + a, j * stride - before + b
                    if 0 <= row < size and 0 <= column < size:
                        window[a, b] = x[row, column]
            result[i, j] = combine(window)
    return result


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [4, 5, 7, 8, 1])
def test_same_convolution_against_the_loop(size, stride):
    generator = torch.Generator().manual_seed(size)
    layer = SameConv2d(2, 3, stride).double()
    nn.init.normal_(layer.weight, generator=generator)
    nn.init.normal_(layer.bias, generator=generator)
    x = torch.randn(1, 2, size, size, generator=generator, dtype=torch.float64)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()

    def combine(window):
        return [(window * weight[k].transpose(1, 2, 0)).sum() + bias[k] for k in range(3)]

    wanted = reference_same(x[0].permute(1, 2, 0).numpy(), stride, 3, 3, combine, fill=0.0)
    np.testing.assert_allclose(layer(x)[0].permute(1, 2, 0).detach(), wanted, atol=1e-12)


def test_a_bias_that_batch_normalisation_takes_away_is_left_alone():
    """In training it changes no output and its gradient is zero but for rounding, so it is not computed."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 2, 5, 5, generator=generator, dtype=torch.float64)
    outputs, weights = [], []
    for normalized, fill in ((False, 0.0), (False, 3.0), (True, 3.0)):
        torch.manual_seed(1)
        net = nn.Sequential(SameConv2d(2, 4, 2, normalized), nn.BatchNorm2d(4)).double()
        nn.init.constant_(net[0].bias, fill)
        outputs.append(net(x))
        (outputs[-1] ** 3).sum().backward()
        weights.append(net[0].weight.grad)
        assert net[0].bias.grad is None if normalized else net[0].bias.grad.abs().max() < 1e-12
        assert net[1].running_mean.abs().min() > 0.2 if fill else True  # evaluation sees the bias through the mean
    for output, weight in zip(outputs[1:], weights[1:], strict=True):
        torch.testing.assert_close(output, outputs[0])
        torch.testing.assert_close(weight, weights[0])


def test_only_biases_before_batch_normalisation_stay_zero():
    model = create_model("cifar10", "teacher-large", seed=0)
    nn.functional.cross_entropy(model(torch.rand(4, 3, 32, 32)), torch.arange(4)).backward()
    layers = [*model.features, model.classifier]
    for layer, after in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert (layer.bias.grad is None) == isinstance(after, nn.BatchNorm2d)
    assert sum(m.normalized for m in layers if isinstance(m, SameConv2d)) == 5
    plain = create_model("cifar10", "teacher-large", seed=0, variant="no-batchnorm").features
    assert not any(m.normalized for m in plain if isinstance(m, SameConv2d))


@pytest.mark.parametrize("size", [4, 7, 1])
def test_same_pooling_against_the_loop(size):
    x = -torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(size))  # negative: zeros would win
    wanted = reference_same(x[0].permute(1, 2, 0).numpy(), 1, 2, 3, lambda w: w.max(axis=(0, 1)), fill=-np.inf)
    np.testing.assert_allclose(SameMaxPool2d()(x)[0].permute(1, 2, 0), wanted)


def test_the_last_row_and_column_of_the_pool_see_only_themselves():
    x = torch.tensor([[1.0, 2, 9], [3, 4, 5], [8, 7, 6]])[None, None] - 10
    assert (SameMaxPool2d()(x) + 10)[0, 0].tolist() == [[4, 9, 9], [8, 7, 6], [8, 7, 6]]


# Weights


@pytest.mark.parametrize("key", [("mnist", "student"), ("digits", "teacher-large")])
def test_the_seed_fixes_the_weights(key):
    torch.manual_seed(1)
    first, again, other = (create_model(*key, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    assert not torch.equal(create_model(*key).classifier.weight, create_model(*key).classifier.weight)


def test_weights_are_glorot_uniform_and_biases_zero():
    """Keras's default: uniform within sqrt(6 / (fan in + fan out)), whose variance is 2 / (fan in + fan out)."""
    model = model_of("mnist", "teacher-small")
    convolution, dense = model.features[3].weight, model.classifier.weight
    for weight, fans in ((convolution, 9 * (256 + 512)), (dense, 7 * 7 * 512 + 10)):
        assert float(weight.detach().abs().max()) <= (6 / fans) ** 0.5
        assert float(weight.detach().var()) == pytest.approx(2 / fans, rel=0.02)
    assert not any(m.bias.any() for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear))


# Running


@pytest.mark.parametrize("key", ALL)
def test_logits_and_the_contract_of_features_and_classifier(key):
    model, images = model_of(*key), images_of(key[0])
    with torch.no_grad():
        logits, features = model(images), model.features(images)
    assert logits.shape == (2, 10) and logits.dtype == torch.float32 and logits.isfinite().all()
    assert features.shape == (2, model.classifier.in_features)
    torch.testing.assert_close(
        features @ model.classifier.weight.T + model.classifier.bias, logits, rtol=1e-4, atol=1e-5
    )
    assert not torch.allclose(logits[0], logits[1])  # the image matters


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("dataset", ["digits", "fashion_mnist"])
def test_dropout_works_in_large_teachers_only_and_in_training_only(dataset, role):
    model, images = create_model(dataset, role, seed=0), images_of(dataset)
    torch.manual_seed(0)
    with torch.no_grad():
        model.train()
        training = [model(images) for _ in range(2)]
        model.eval()
        evaluation = [model(images) for _ in range(2)]
    torch.testing.assert_close(*evaluation, rtol=0, atol=0)
    same = torch.equal(*training)
    assert same == (role != "teacher-large")


def test_the_rate_of_dropout_is_the_one_asked_for():
    rates = {m.p for m in create_model("digits", "teacher-large", dropout=0.2).modules() if isinstance(m, nn.Dropout)}
    assert rates == {0.2}
    with torch.no_grad():
        model = create_model("digits", "teacher-large", dropout=0.0, seed=0).train()
        assert torch.equal(model(images_of("digits")), model(images_of("digits")))


@pytest.mark.parametrize("role", ROLES)
def test_logits_are_float32_under_autocast(role):
    model, images = model_of("digits", role), images_of("digits")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    assert logits.dtype == torch.float32
    with torch.no_grad():
        torch.testing.assert_close(logits, model(images), rtol=0.05, atol=0.05)
    # The last layer is not rounded: bfloat16 has 8 bits, and these logits need more.
    assert not torch.equal(logits, logits.bfloat16().float())


def test_memory_layout_does_not_change_logits():
    model, images = create_model("mnist", "student", seed=0), images_of("mnist")
    with torch.no_grad():
        wanted = model(images)
        model.to(memory_format=torch.channels_last)
        torch.testing.assert_close(model(images.contiguous(memory_format=torch.channels_last)), wanted)


# Variants: one thing changed


def conv(*widths):
    """Parameters of a chain of 3x3 convolutions with biases."""
    return sum(9 * a * b + b for a, b in itertools.pairwise(widths))


def dense(*widths):
    return sum(a * b + b for a, b in itertools.pairwise(widths))


def pairs(*widths):
    """CIFAR-10's large teacher: two convolutions of each width."""
    return conv(3, *(w for w in widths for _ in range(2)))


CHANGED = {
    ("mnist", "teacher-large", "no-dense"): conv(1, 128, 256, 512) + dense(4 * 4 * 512, 10),
    ("mnist", "teacher-large", "width/4"): conv(1, 32, 64, 128) + dense(4 * 4 * 128, 32, 64, 10),
    ("mnist", "teacher-small", "dense"): conv(1, 256, 512) + dense(7 * 7 * 512, 128, 256, 10),
    ("mnist", "teacher-small", "dense+width/2"): conv(1, 128, 256) + dense(7 * 7 * 256, 64, 128, 10),
    ("mnist", "teacher-small", "relu"): 1_433_610,
    ("mnist", "teacher-small", "width/16"): 20_490,  # which is the student
    ("mnist", "student", "width*3"): conv(1, 48, 96) + dense(7 * 7 * 96, 10),
    ("mnist", "student", "large-family+width/8"): conv(1, 16, 32, 64) + dense(4 * 4 * 64, 16, 32, 10),
    ("fashion_mnist", "teacher-large", "no-dense"): conv(1, 64, 128, 256, 512) + dense(2 * 2 * 512, 10),
    ("fashion_mnist", "teacher-large", "width/2"): conv(1, 32, 64, 128, 256) + dense(2 * 2 * 256, 128, 256, 128, 10),
    ("fashion_mnist", "teacher-small", "dense"): conv(1, 128, 256, 512) + dense(4 * 4 * 512, 256, 512, 256, 10),
    ("fashion_mnist", "student", "large-family+width/8"): conv(1, 8, 16, 32, 64) + dense(2 * 2 * 64, 32, 64, 32, 10),
    ("cifar10", "teacher-small", "batchnorm"): 5_674_634 + 4 * (128 + 256 + 512),
    ("cifar10", "teacher-small", "no-dense"): conv(3, 128, 256, 512) + dense(8 * 8 * 512, 10),
    ("cifar10", "teacher-large", "no-batchnorm"): pairs(32, 256, 512, 1024) + dense(4 * 4 * 1024, 512, 256, 10),
    ("cifar10", "teacher-large", "no-dense"): pairs(32, 256, 512, 1024) + dense(4 * 4 * 1024, 10) + 4 * 1_856,
    ("digits", "teacher-small", "dense"): conv(1, 64, 128) + dense(2 * 2 * 128, 64, 128, 10),
    ("digits", "teacher-large", "width/16"): conv(1, 4, 8, 16) + dense(16, 4, 8, 10),
    ("digits", "student", "batchnorm+relu"): conv(1, 8, 16) + dense(2 * 2 * 16, 10) + 4 * (8 + 16),
    ("digits", "student-baseline", "no-batchnorm"): dense(64, 10),
    ("mnist", "teacher-large", "hidden-1"): conv(1, 128, 256, 512) + dense(4 * 4 * 512, 128, 10),
    ("mnist", "teacher-large", "depth-1"): conv(1, 512) + dense(14 * 14 * 512, 128, 256, 10),
    ("mnist", "teacher-large", "no-dense+depth-2"): 1_433_610,  # the small teacher's layers
    ("mnist", "teacher-large", "no-dense+depth-5"): conv(1, 32, 64, 128, 256, 512) + dense(512, 10),
    ("fashion_mnist", "teacher-large", "no-dense+depth-3"): 1_558_538,  # likewise
    ("fashion_mnist", "teacher-large", "depth-4"): 2_339_850,  # its own
    ("digits", "teacher-large", "width/4+depth-2"): conv(1, 32, 64) + dense(2 * 2 * 64, 16, 32, 10),
    ("mnist", "teacher-large", "no-dense+plus-2"): conv(1, 128, 256, 512, 512, 512) + dense(4 * 4 * 512, 10),
    ("mnist", "teacher-large", "no-dense+same-size"): conv(1, 165, 330, 661) + dense(4 * 4 * 661, 10),
    ("mnist", "teacher-small", "dense+same-size"): conv(1, 98, 195) + dense(7 * 7 * 195, 128, 256, 10),
}
POOLED = [("mnist", "teacher-large"), ("fashion_mnist", "teacher-large"), ("fashion_mnist", "teacher-small")]


@pytest.mark.parametrize("key", CHANGED, ids=lambda key: " ".join(key))
def test_the_parameters_of_variants_by_hand(key):
    dataset, role, variant = key
    assert count_parameters(create_model(dataset, role, variant=variant)) == CHANGED[key]


def test_as_it_is():
    plain, named = (create_model("digits", "teacher-large", seed=0, **v) for v in ({}, {"variant": "table7"}))
    assert str(plain) == str(named) and torch.equal(plain.classifier.weight, named.classifier.weight)


@pytest.mark.parametrize("key", POOLED)
def test_the_max_pooling_reading_meets_table_7(key):
    """28 → 26, pooled 13 → 11 → 9, pooled 4 (→ 2): sizes that the strided networks' last layers have too."""
    model, sizes = create_model(*key, variant="maxpool", seed=0), []
    assert count_parameters(model) == TABLE_7[key]
    for module in model.features:
        if isinstance(module, nn.Conv2d | nn.MaxPool2d):
            module.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-1]))
    model(images_of(key[0]))
    assert sizes == [26, 13, 11, 9, 4, *[2] * (len(sizes) - 5)] and len(sizes) == 2 + LAYERS[key][0]


def count(model, kind):
    return sum(isinstance(m, kind) for m in model.modules())


def test_a_variant_changes_what_it_names_and_nothing_else():
    made = lambda dataset, role, variant: create_model(dataset, role, variant=variant)
    kinds = (nn.Conv2d, nn.Linear, nn.Dropout, nn.BatchNorm2d, nn.ReLU, nn.LeakyReLU, SameMaxPool2d)
    counts = lambda *key: tuple(count(made(*key), kind) for kind in kinds)
    assert counts("mnist", "teacher-small", "table7") == (2, 1, 0, 0, 0, 1, 1)
    assert counts("mnist", "teacher-small", "relu") == (2, 1, 0, 0, 2, 0, 0)
    assert counts("mnist", "teacher-small", "dense") == (2, 3, 2, 0, 2, 1, 1)
    assert counts("mnist", "teacher-large", "table7") == (3, 3, 2, 0, 5, 0, 0)
    assert counts("mnist", "teacher-large", "no-dense") == (3, 1, 0, 0, 3, 0, 0)
    assert counts("mnist", "teacher-large", "linear-dense") == (3, 3, 2, 0, 3, 0, 0)
    assert counts("mnist", "teacher-small", "dense+linear-dense") == (2, 3, 2, 0, 0, 1, 1)
    assert counts("mnist", "student", "large-family+width/8") == (3, 3, 0, 0, 5, 0, 0)
    assert counts("cifar10", "teacher-small", "batchnorm") == (3, 2, 0, 3, 4, 0, 0)
    assert counts("cifar10", "teacher-large", "no-batchnorm") == (8, 3, 2, 0, 10, 0, 0)


@pytest.mark.parametrize(
    "variant", ["width/2+width/4", "batchnorm+no-batchnorm", "no-dense+dense", "depth-1+depth-2", "width/2+same-size"]
)
def test_a_variant_that_contradicts_itself_is_refused(variant):
    with pytest.raises(UserError, match="contradicts itself"):
        create_model("mnist", "teacher-large", variant=variant)


@pytest.mark.parametrize(
    ("dataset", "role", "variant"),
    [
        ("cifar10", "teacher-large", "depth-2"),
        ("mnist", "teacher-large", "maxpool+depth-2"),
        ("mnist", "student-baseline", "depth-2"),
        ("mnist", "student-baseline", "same-size"),
        ("mnist", "teacher-small", "depth-4"),  # without activations between them
        ("mnist", "teacher-small", "plus-1"),
        ("mnist", "teacher-small", "hidden-1"),
        ("mnist", "teacher-large", "no-dense+hidden-1"),
    ],
)
def test_a_variant_that_a_network_cannot_have_is_refused(dataset, role, variant):
    with pytest.raises(UserError, match=f"'{re.escape(variant)}' has no meaning for {dataset}'s {role}"):
        create_model(dataset, role, variant=variant)


@pytest.mark.parametrize(
    ("dataset", "role", "variant"),
    [
        *((d, "teacher-large", "no-dense") for d in ("mnist", "fashion_mnist", "cifar10", "digits")),
        *((d, "teacher-small", "dense") for d in ("mnist", "fashion_mnist", "digits")),
        ("mnist", "teacher-small", "relu"),
    ],
)
def test_another_head_at_an_equal_number_of_parameters(dataset, role, variant):
    model = create_model(dataset, role, variant=f"{variant}+same-size")
    wanted = count_parameters(create_model(dataset, role))
    assert abs(count_parameters(model) / wanted - 1) < 0.02
    assert count(model, nn.Linear) == count(create_model(dataset, role, variant=variant), nn.Linear)
    widths = [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
    before = [m.out_channels for m in create_model(dataset, role).modules() if isinstance(m, nn.Conv2d)]
    assert np.allclose(np.divide(widths, widths[-1]), np.divide(before, before[-1]), atol=1 / widths[-1])


def test_a_size_that_cannot_be_had_is_refused():
    with pytest.raises(UserError, match="cannot have as many parameters as mnist's student"):
        create_model("mnist", "student", variant="dense+same-size")


def test_no_other_width_comes_nearer_to_the_number_of_parameters():
    wide = lambda n: conv(1, round(n / 4), round(n / 2), n) + dense(4 * 4 * n, 10)
    assert min(range(4, 2000), key=lambda n: abs(wide(n) - TABLE_7["mnist", "teacher-large"])) == 661
    deep = lambda n: conv(1, round(n / 2), n) + dense(7 * 7 * n, 128, 256, 10)
    assert min(range(4, 2000), key=lambda n: abs(deep(n) - TABLE_7["mnist", "teacher-small"])) == 195


def test_a_variant_that_leaves_no_channel_is_refused():
    with pytest.raises(UserError, match="'width/16' leaves a layer of digits's student without channels"):
        create_model("digits", "student", variant="width/16")


@pytest.mark.parametrize("variant", ["linear-dense", "table7"])
def test_a_linear_head_is_affine(variant):
    """After the convolutions, and without dropout: the answer half-way is the mean of two answers."""
    model = create_model("mnist", "teacher-large", variant=variant, seed=0).double().eval()
    flat = next(i for i, layer in enumerate(model.features) if isinstance(layer, nn.Flatten))
    one, other = torch.rand(2, 4, 4 * 4 * 512, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    answer = lambda x: nn.functional.linear(model.features[flat + 1 :](x), model.classifier.weight)
    with torch.no_grad():
        between, mean = answer((one + other) / 2), (answer(one) + answer(other)) / 2
    assert torch.allclose(between, mean, atol=1e-12) == (variant == "linear-dense")


# Refusals


def test_an_unknown_variant_gets_the_nearest():
    for wrong in ("dens", "relu+dens", "width/8+dens"):
        with pytest.raises(UserError, match="unknown variant 'dens' .did you mean 'dense'") as error:
            create_model("mnist", "teacher-small", variant=wrong)
        assert "\n" not in str(error.value) and all(name in str(error.value) for name in VARIANTS)
    with pytest.raises(UserError, match="unknown variant 'width/3'"):
        create_model("mnist", "teacher-small", variant="width/3")


def test_unknown_names_get_the_nearest():
    with pytest.raises(UserError, match="unknown dataset 'fashion-mnist' .did you mean 'fashion_mnist'"):
        create_model("fashion-mnist", "student")
    with pytest.raises(UserError, match="unknown role 'teacher_large' .did you mean 'teacher-large'"):
        create_model("mnist", "teacher_large")
    for wrong in (None, 3, ""):
        with pytest.raises(UserError, match="allowed: mnist"):
            create_model(wrong, "student")

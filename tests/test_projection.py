"""The penultimate-layer projection: two routes to the same coordinates, and geometry checked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdutils.errors import UserError
from kdutils.models import create_model
from kdutils.projection import penultimate_projection, projection_from_logits, scatter


def layer(seed=0, n=20, d=7, c=10):
    generator = torch.Generator().manual_seed(seed)
    shapes = (n, d), (c, d), (c,)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)


def stored(features, weight, bias):
    """What a teacher's stored response holds: logits, and the Gram matrix of templates with bias."""
    templates = torch.cat([weight, bias[:, None]], dim=1)
    return features @ weight.T + bias, templates @ templates.T


def reference_projection(features, weight, bias, classes):
    """Gram-Schmidt by hand, one example at a time."""
    t0, t1, t2 = (np.append(weight[c].numpy(), float(bias[c])) for c in classes)
    first = (t1 - t0) / np.linalg.norm(t1 - t0)
    second = (t2 - t0) - ((t2 - t0) @ first) * first
    second /= np.linalg.norm(second)
    activations = [np.append(row.numpy(), 1.0) for row in features]
    return np.array([[a @ first, a @ second] for a in activations])


@pytest.mark.parametrize("classes", [(0, 1, 2), (9, 4, 6), [3, 1, 8], torch.tensor([5, 0, 9])])
def test_both_routes_against_gram_schmidt(classes):
    features, weight, bias = layer()
    wanted = reference_projection(features, weight, bias, [int(c) for c in classes])
    np.testing.assert_allclose(penultimate_projection(features, weight, bias, classes), wanted, atol=1e-12)
    logits, gram = stored(features, weight, bias)
    np.testing.assert_allclose(projection_from_logits(logits, gram, classes), wanted, atol=1e-11)


@given(st.integers(0, 10_000), st.permutations(range(10)), st.integers(2, 40))
@settings(max_examples=50, deadline=None)
def test_logits_and_gram_hold_the_whole_projection(seed, order, width):
    features, weight, bias = layer(seed, n=4, d=width)
    classes = order[:3]
    direct = penultimate_projection(features, weight, bias, classes)
    torch.testing.assert_close(
        projection_from_logits(*stored(features, weight, bias), classes), direct, rtol=1e-6, atol=1e-8
    )


def test_a_stored_response_of_a_real_network_is_enough():
    """In the precision a response is stored in: logits in half, the Gram matrix in single."""
    model = create_model("digits", "teacher-large", seed=0).eval()
    images = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = model.features(images)
        weight, bias = model.classifier.weight, model.classifier.bias
        direct = penultimate_projection(features, weight, bias, (1, 4, 7))
        logits, gram = stored(features.double(), weight.double(), bias.double())
    found = projection_from_logits(logits.half().float(), gram.float(), (1, 4, 7))
    assert float((found - direct).abs().max()) < 2e-3 * float(direct.abs().max())


def test_distances_within_the_plane_are_kept_and_those_across_are_lost():
    _, weight, bias = layer()
    templates = torch.cat([weight, bias[:, None]], dim=1)[[2, 5, 8]]
    # The templates' own coordinates: they are activations as any other, so their logits are the Gram matrix.
    _, gram = stored(weight[:1], weight, bias)
    points = projection_from_logits(gram, gram, (2, 5, 8))[[2, 5, 8]]
    torch.testing.assert_close(torch.cdist(points, points), torch.cdist(templates, templates), atol=1e-6, rtol=1e-6)
    # Orientation: the second template lies along the first axis from the first, the third at its left.
    assert points[1, 0] > points[0, 0] and points[1, 1] == pytest.approx(float(points[0, 1]))
    assert points[2, 1] > points[0, 1]
    # A move at right angles to the plane leaves a point where it is; one along t1 - t0 moves it by its length.
    features, *_ = layer(seed=3)
    flat = weight[[5, 8]] - weight[2]
    across = torch.linalg.svd(flat, full_matrices=True)[2][-1]
    before = penultimate_projection(features, weight, bias, (2, 5, 8))
    torch.testing.assert_close(penultimate_projection(features + 3 * across, weight, bias, (2, 5, 8)), before)
    along = weight[5] - weight[2]
    moved = penultimate_projection(features + along, weight, torch.zeros(10), (2, 5, 8))
    shift = moved - penultimate_projection(features, weight, torch.zeros(10), (2, 5, 8))
    torch.testing.assert_close(shift, torch.stack([along.norm(), torch.tensor(0.0)]).expand_as(shift).double())


def test_the_bias_matters():
    features, weight, bias = layer()
    with_bias, without = (penultimate_projection(features, weight, b, (0, 1, 2)) for b in (bias, torch.zeros(10)))
    assert not torch.allclose(with_bias, without, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("place", [0.0, 1.0, 0.3, -2.0])
def test_templates_on_one_line_give_no_plane(place, dtype):
    features, weight, bias = layer()
    weight[2], bias[2] = (x[0] + place * (x[1] - x[0]) for x in (weight, bias))
    features, weight, bias = (x.to(dtype) for x in (features, weight, bias))
    with pytest.raises(UserError, match="on one line"):
        penultimate_projection(features, weight, bias, (0, 1, 2))
    with pytest.raises(UserError, match="on one line"):
        projection_from_logits(*stored(features, weight, bias), (0, 1, 2))


def test_no_gram_matrix_at_all_gives_no_plane():
    line = "on one line"
    for gram, why in (
        (torch.zeros(10, 10), line),
        (-torch.eye(10), line),
        (torch.full((10, 10), torch.nan), "got NaN or inf"),
    ):
        with pytest.raises(UserError, match=why):
            projection_from_logits(torch.zeros(2, 10), gram, (0, 1, 2))


def test_shapes_that_disagree_are_refused():
    features, weight, bias = layer()
    for wrong in ((features[:, :6], weight, bias), (features, weight, bias[:9]), (features[0], weight, bias)):
        with pytest.raises(UserError, match="disagree in shape"):
            penultimate_projection(*wrong, (0, 1, 2))
    logits, gram = stored(features, weight, bias)
    for wrong in ((logits[:, :9], gram), (logits[0], gram), (logits, gram[:9])):
        with pytest.raises(UserError, match="disagree"):
            projection_from_logits(*wrong, (0, 1, 2))


# Scatter


def test_scatter_by_hand():
    """Two clusters of two: centres 10 apart, so 5 from the middle; points 1 from their centre."""
    points = torch.tensor([[-1.0, 0], [1, 0], [9, 0], [11, 0]])
    assert scatter(points, torch.tensor([4, 4, 7, 7])) == pytest.approx({"within": 1, "between": 25, "ratio": 1 / 25})


def test_scatter_against_the_loop_and_adds_up():
    generator = torch.Generator().manual_seed(0)
    points, labels = torch.randn(31, 2, generator=generator), torch.randint(3, (31,), generator=generator)
    found = scatter(points, labels)
    x, y = points.double().numpy(), labels.numpy()
    centre = {c: x[y == c].mean(axis=0) for c in set(y.tolist())}
    within = sum(((a - centre[c]) ** 2).sum() for a, c in zip(x, y.tolist(), strict=True)) / 31
    between = sum(((centre[c] - x.mean(axis=0)) ** 2).sum() for c in y.tolist()) / 31
    assert found == pytest.approx({"within": within, "between": between, "ratio": within / between})
    assert found["within"] + found["between"] == pytest.approx(((x - x.mean(axis=0)) ** 2).sum() / 31)


@given(st.floats(0, 6), st.floats(0.01, 100), st.floats(-10, 10))
@settings(max_examples=30, deadline=None)
def test_turning_scaling_and_moving_the_plane_leave_the_ratio(angle, size, shift):
    features, *_ = layer(d=2)
    labels = torch.arange(20) % 3
    turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    changed = scatter(size * features @ turn + shift, labels)
    assert changed["ratio"] == pytest.approx(scatter(features, labels)["ratio"], rel=1e-6)
    assert scatter(features[:, [1, 0]] * torch.tensor([1, 5]), labels)["ratio"] != pytest.approx(changed["ratio"])


def test_scatter_refuses_what_has_no_ratio():
    points = torch.tensor([[-1.0, 0], [1, 0], [-1, 0], [1, 0]])
    for labels in (torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 0])):
        with pytest.raises(UserError, match="coincide"):
            scatter(torch.zeros(4, 2) if labels[1] else points, labels)
    with pytest.raises(UserError, match="two classes"):
        scatter(points, torch.zeros(4, dtype=torch.long))
    with pytest.raises(UserError, match="two classes"):
        scatter(points[:0], torch.zeros(0, dtype=torch.long))
    with pytest.raises(UserError, match="disagree"):
        scatter(points, torch.zeros(3, dtype=torch.long))

"""Training of a network of SpaHGC: what it may not see, and the encoder that follows it."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.spahgc_helpers import settings, side_with

from napari_stmask.core.progress import drain
from napari_stmask.models.spahgc.graph import Pool, find_references, graph_of
from napari_stmask.models.spahgc.training import (
    Task,
    Tensors,
    _Objective,
    batches_of,
    new_net,
    train_net,
    whole_batch,
)

CPU = torch.device("cpu")
WIDTH, GENES = 6, 5


def task(params, n: int = 12) -> Task:
    """A section whose left half is part 0 and whose right half is part 1."""
    rng = np.random.default_rng(0)
    target, *others = (
        side_with(rng.normal(size=(n * n, WIDTH)), n, section=i, group=i, genes=GENES)
        for i in range(3)
    )
    pool = Pool.of(others, [side.expression for side in others])
    index = drain(find_references(target, pool, params)).index
    data = drain(graph_of(target, pool, index, params))
    return Task(
        Tensors(*map(torch.from_numpy, (target.features, pool.features, pool.expression))),
        torch.from_numpy(target.expression),
        (target.coords[:, 0] >= n / 2).astype(np.intp),
        whole_batch(data, CPU),
        batches_of(data, target, params, CPU),
    )


def weights(params, one: Task, without: int | None) -> torch.Tensor:
    net, _ = drain(train_net([one], params, 0, CPU, without=without, total=1))
    return torch.cat([p.detach().ravel() for p in net.parameters()])


@pytest.mark.parametrize("size", [1500, 100])
def test_spots_left_out_teach_nothing(size: int) -> None:
    """Whatever was measured there, the network is the same; elsewhere it matters."""
    params = settings(epochs=2, batch_spots=size)
    one = task(params)
    hidden = torch.from_numpy(one.part == 0)[:, None]
    other = replace(one, measured=torch.where(hidden, 9 - one.measured, one.measured))
    assert torch.equal(weights(params, one, 0), weights(params, other, 0))
    assert not torch.equal(weights(params, one, 1), weights(params, other, 1))
    assert not torch.equal(weights(params, one, None), weights(params, other, None))


def objective(params, one: Task):
    generator = torch.Generator().manual_seed(0)
    net = new_net(WIDTH, GENES, params, generator).train()
    made = _Objective(net, params, generator, [0])
    first = copy.deepcopy(net)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1)
    batch = one.batches[0]
    loss, terms = made((one, batch, torch.arange(batch.n_core)))
    return net, first, made, loss, terms


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_the_second_encoder_follows(momentum: float) -> None:
    params = settings(momentum=momentum, clean_share=0.0)
    net, first, made, loss, _ = objective(params, task(params))
    every = zip(made.second.parameters(), first.parameters(), net.parameters(), strict=True)
    for second, before, now in every:
        expected = momentum * before + (1 - momentum) * now
        torch.testing.assert_close(second, expected, atol=1e-6, rtol=0)
    loss.backward()
    assert all(p.grad is None for p in made.second.parameters())
    assert not made.second.training


def test_total_is_the_weighted_sum_of_the_terms() -> None:
    params = settings(
        clean_share=0.0, loss_correlation=0.7, loss_agreement_target=0.3,
        loss_agreement_reference=0.4,
    )  # fmt: skip
    *_, loss, terms = objective(params, task(params))
    expected = (
        terms["error"]
        + 0.7 * terms["correlation"]
        + 0.3 * terms["agreement"]
        + 0.4 * terms["agreement of references"]
    )
    torch.testing.assert_close(loss, expected)
    assert all(value.item() > 0 for value in terms.values())


def test_steps_that_hide_nothing_have_no_second_view() -> None:
    params = settings(clean_share=1.0)
    one = task(params)
    *_, terms = objective(params, one)
    assert set(terms) == {"error", "correlation"}
    # The released form hides in every step.
    released = params.model_copy(update={"mode": "release"})
    assert "agreement" in objective(released, one)[-1]


def test_network_sees_the_genes_of_the_references_alone() -> None:
    """The target brings its image and nothing else."""
    params = settings()
    net = new_net(WIDTH, GENES, params, torch.Generator().manual_seed(0))
    assert net.target_in.in_features == WIDTH
    assert net.reference_in.in_features == WIDTH + GENES
    assert net.head.out_features == GENES

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from napari_stmask.core.errors import DataError, ParameterError, ResourceError
from napari_stmask.core.progress import Progress, Steps, drain
from napari_stmask.nn.device import choose_device, cpu_threads
from napari_stmask.nn.train import Optimisation, retry_smaller, train


class Point(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor([4.0]))


def _run(model: Point, **options):
    def losses(batch):
        loss = (model.at - 1).pow(2).sum() * batch
        return loss, {"square": loss}

    return train(model, lambda epoch: [1.0], losses, **options)


def test_minimises_and_records() -> None:
    model = Point()
    history = drain(_run(model, optimisation=Optimisation(400, lr=0.05)))
    assert len(history["square"]) == 400
    assert float(model.at) == pytest.approx(1, abs=1e-2)
    assert history["square"][-1] < 1e-3 * history["square"][0]


def test_loss_of_nothing_that_is_trained_is_refused() -> None:
    def losses(_):
        return torch.zeros(()), {}

    with pytest.raises(ParameterError, match="nothing to learn from"):
        drain(train(Point(), lambda _: [1.0], losses, Optimisation(1)))


def test_one_event_an_epoch() -> None:
    events = list(_run(Point(), optimisation=Optimisation(5), offset=10, total=20))
    assert [e.step for e in events] == [11, 12, 13, 14, 15]
    assert all(e.total == 20 and "square" in e.losses for e in events)


def test_closing_stops_before_the_next_step() -> None:
    model, steps = Point(), None
    steps = _run(model, optimisation=Optimisation(1000, lr=0.05))
    next(steps)
    after_one = float(model.at)
    steps.close()
    assert float(model.at) == after_one != 4.0


def test_early_stop_restores_the_best_weights() -> None:
    model = Point()
    values = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    seen: list[float] = []

    def monitor() -> float:
        seen.append(float(model.at))
        return next(values)

    history = drain(
        _run(model, optimisation=Optimisation(100, lr=0.1, patience=3), monitor=monitor)
    )
    assert len(history["square"]) == 5
    assert float(model.at) == pytest.approx(seen[1])


def test_infinite_loss_is_said() -> None:
    model = Point()

    def losses(batch):
        return model.at.sum() * float("nan"), {"square": model.at.sum() * float("nan")}

    with pytest.raises(DataError, match="no longer finite in epoch 1"):
        drain(train(model, lambda e: [0], losses, Optimisation(3)))


def test_out_of_memory_halves_the_tiles() -> None:
    tried: list[int] = []

    def attempt(size: int) -> Steps[str]:
        tried.append(size)
        yield Progress(0, 1, "training")
        if size > 300:
            raise torch.OutOfMemoryError("simulated")
        return "done"

    assert drain(retry_smaller(attempt, 1000, device=torch.device("cpu"))) == "done"
    assert tried == [1000, 500, 250]


def test_out_of_memory_for_good_is_said() -> None:
    def attempt(size: int) -> Iterator[Progress]:
        raise torch.OutOfMemoryError("simulated")
        yield

    with pytest.raises(ResourceError, match="runs out of memory"):
        drain(retry_smaller(attempt, 1000, device=torch.device("cpu")))


def test_threads_are_restored() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with cpu_threads(1) as n:
            assert n == torch.get_num_threads() == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert torch.get_num_threads() == before


def test_absent_device_is_said() -> None:
    if torch.cuda.is_available():
        assert choose_device("cuda").type == "cuda"
    else:
        with pytest.raises(ResourceError, match="cuda"):
            choose_device("cuda")
    assert choose_device("cpu").type == "cpu"


def test_a_term_is_averaged_over_the_steps_that_have_it() -> None:
    """And its curve is as long as the others, though an epoch may pass without it."""
    net = torch.nn.Linear(1, 1)

    def losses(step: tuple[int, int]):
        loss = net(torch.ones(1, 1)).square().sum()
        extra = {"now and then": torch.tensor(6.0)} if step in ((0, 1), (2, 0)) else {}
        return loss, {"loss": loss} | extra

    history = drain(
        train(net, lambda epoch: ((epoch, i) for i in range(3)), losses, Optimisation(4))
    )
    assert history["now and then"] == [6.0] * 4
    assert len(history["loss"]) == 4

"""The adversarial translator: its pieces in closed form, its training, its limits."""

import numpy as np
import pytest
import torch

from napari_stmask.core.errors import DataError, ParameterError, ResourceError
from napari_stmask.core.progress import drain
from napari_stmask.nn.coverage_gan import (
    CRITIC_BOUND,
    MOST_CELLS,
    Critic,
    GANParams,
    Generator,
    _Game,
    train_gan,
)


def seeded(n: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(n)


def planted(n: int = 80, n_out: int = 30, seed: int = 0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 5))
    y = 3 + z @ rng.normal(size=(5, n_out))
    return (100 * z + 7).astype(np.float32), np.maximum(y, 0).astype(np.float32)


def test_shapes_and_size() -> None:
    generator, critic = Generator(64, 700, seeded()), Critic(700, seeded())
    maps, code = generator(torch.zeros(3, 64))
    assert maps.shape == (3, 700)
    assert code.shape == (3, 512)
    assert critic(maps).shape == (3,)
    assert generator.memory.shape == (256, 512)
    assert float(generator.memory.abs().max()) <= 512**-0.5

    def weights(module):
        return sum(p.numel() for p in module.parameters())

    # What a cell more costs, as the refusal of large targets says.
    more = weights(Generator(64, 701, seeded())) - weights(generator)
    more += weights(Critic(701, seeded())) - weights(critic)
    assert more == 1024 + 1 + 1024 + 256


def test_recall_written_out() -> None:
    generator = Generator(4, 6, seeded())
    code = torch.randn(5, 512, generator=seeded(1)) * 0.3
    share = torch.softmax(code @ generator.memory.T / 0.5, dim=1)
    kept = torch.where(share > 0.005, share, torch.zeros(()))
    expected = kept / kept.sum(dim=1, keepdim=True).clamp_min(1e-12) @ generator.memory
    torch.testing.assert_close(generator.recall(code), expected, rtol=1e-4, atol=1e-6)
    # One slot alone is recalled as it is; with none above the threshold nothing is.
    one = 1e3 * generator.memory[[17]]
    torch.testing.assert_close(generator.recall(one), generator.memory[[17]])
    assert not generator.recall(torch.zeros(1, 512)).any()


def test_memory_is_first_in_first_out() -> None:
    generator = Generator(4, 6, seeded())
    old = generator.memory.clone()
    new = torch.randn(64, 512, generator=seeded(1))
    generator.remember(new)
    assert torch.equal(generator.memory, torch.cat([old[64:], new]))
    many = torch.randn(300, 512, generator=seeded(2))
    generator.remember(many)
    assert torch.equal(generator.memory, many[44:])


def test_one_step_of_the_game() -> None:
    generator, critic = Generator(3, 8, seeded()), Critic(8, seeded(1))
    game = _Game(generator, critic, GANParams(adversarial=0.0, lr=1e-6))
    z, y = torch.randn(6, 3, generator=seeded(2)), torch.rand(6, 8, generator=seeded(3))
    fake = generator(z)[0].detach()
    gap = float((critic(fake).mean() - critic(y).mean()).detach())
    memory = generator.memory.clone()
    terms = game.play(z, y)
    assert not torch.equal(generator.memory, memory)
    generator.memory = memory
    assert terms["critic"] == pytest.approx(gap, rel=1e-5)
    assert terms["error"] == pytest.approx(float((fake - y).abs().mean()), rel=1e-5)
    assert all(float(w.detach().abs().max()) <= CRITIC_BOUND for w in critic.parameters())
    # The step of the generator lowers the error, and leaves no mark on the critic.
    before = [w.clone() for w in critic.parameters()]
    with torch.no_grad():
        assert float((generator(z)[0] - y).abs().mean()) < terms["error"]
    assert all(torch.equal(a, b) for a, b in zip(before, critic.parameters(), strict=True))


def test_the_critic_learns_to_tell_and_moves_the_generator() -> None:
    z, y = torch.randn(32, 3, generator=seeded(2)), 5 + torch.rand(32, 8, generator=seeded(3))
    generator, critic = Generator(3, 8, seeded()), Critic(8, seeded(1))
    params = GANParams(adversarial=0.0, lr=1e-12)
    game = _Game(generator, critic, params)
    gaps = [game.play(z, y)["critic"] for _ in range(30)]
    assert gaps[-1] < 0
    assert gaps[-1] < gaps[1]
    with_verdict = Generator(3, 8, seeded())
    without = Generator(3, 8, seeded())
    for net, weight in ((with_verdict, 100.0), (without, 0.0)):
        _Game(net, critic, GANParams(adversarial=weight)).play(z, y)
    assert not torch.equal(with_verdict.skip.weight, without.skip.weight)


def test_it_learns_a_planted_relation() -> None:
    z, y = planted(n=220)
    translator = drain(train_gan(z[:180], y[:180], GANParams(epochs=60, lr=1e-3)))
    assert translator.losses["error"][-1] < 0.5 * translator.losses["error"][0]
    got = translator.predict(z[180:])
    assert got.shape == (40, 30)
    assert got.dtype == np.float32
    assert got.min() >= 0
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(got, y[180:], strict=True)]
    assert np.mean(r) > 0.9


def test_events_losses_and_cancel() -> None:
    z, y = planted()
    steps = train_gan(z, y, GANParams(epochs=3, batch=32))
    events = [e for e in steps if e.losses]
    assert [e.step for e in events] == [1, 2, 3]
    assert set(events[0].losses) == {"error", "verdict", "critic"}
    endless = train_gan(z, y, GANParams(epochs=10**9))
    next(endless)
    endless.close()


def test_a_seed_repeats_itself_without_the_global_state() -> None:
    z, y = planted()
    state = torch.get_rng_state()
    a, b, other = (
        drain(train_gan(z, y, GANParams(epochs=2, seed=s))).predict(z) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_any_number_of_genes_trains() -> None:
    for n in (2, 63, 64, 65, 128):
        z, y = planted(n=n, n_out=7)
        assert np.isfinite(drain(train_gan(z, y, GANParams(epochs=1))).predict(z)).all()


def test_prediction_does_not_depend_on_company() -> None:
    z, y = planted(n=600)
    translator = drain(train_gan(z[:64], y[:64], GANParams(epochs=1)))
    whole = translator.predict(z)
    np.testing.assert_allclose(translator.predict(z[500:501]), whole[500:501], atol=1e-5)


def test_mistakes() -> None:
    z, y = planted(n=12)
    with pytest.raises(ResourceError, match="at most 10000"):
        drain(train_gan(z, np.zeros((12, MOST_CELLS + 1), np.float32)))
    with pytest.raises(ParameterError, match="one row of each"):
        drain(train_gan(z[1:], y))
    with pytest.raises(DataError, match="not finite"):
        drain(train_gan(z, y * np.nan))
    for wrong in ({"epochs": 0}, {"batch": 0}, {"lr": 0.0}, {"lr_critic": -1.0}):
        with pytest.raises(ParameterError, match="positive"):
            drain(train_gan(z, y, GANParams(**wrong)))
    with pytest.raises(ParameterError, match="adversarial is -1"):
        drain(train_gan(z, y, GANParams(adversarial=-1.0)))
    with pytest.raises(DataError, match="no longer finite in epoch"):
        drain(train_gan(z, y, GANParams(epochs=5, lr=1e30)))
    with pytest.raises(ParameterError, match="takes 5 columns"):
        drain(train_gan(z, y, GANParams(epochs=1))).predict(z[:, :4])

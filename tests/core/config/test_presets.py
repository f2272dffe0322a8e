"""The presets: their values by method, rows and model size, and what they leave alone."""

from __future__ import annotations

import pytest

from core.config import Config, Data, Model, Train, config_io, presets
from core.config.presets import PRESETS, Preset, Subject, apply, fitting, matching
from core.config.problems import problems

PREFERENCES = Subject(7_000_000_000, "dpo", "preference")
CHATS = Subject(1_540_000_000, "sft", "chat")


def named(name: str) -> Preset:
    return next(preset for preset in PRESETS if preset.name == name)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_is_known_again_by_its_options(preset: Preset) -> None:
    config = apply(Config(), preset)
    assert matching(config) == preset
    assert apply(config, preset) == config


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_value_of_a_preset_is_a_value_of_its_option_and_has_a_source(preset: Preset) -> None:
    settings = preset.settings(Config(), CHATS)
    for name, setting in settings.items():
        assert name in dict(config_io.fields())
        assert setting.source
    config = apply(Config(), preset, CHATS)
    assert config_io.parse(config_io.to_yaml(config)) == config


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_no_preset_leads_into_a_problem_of_its_own(preset: Preset) -> None:
    known = Config(model=Model("a/b"), data=Data("a/b"))
    assert problems(apply(known, preset)) == []


def test_the_defaults_are_balanced() -> None:
    found = matching(Config())
    assert found is not None and found.name == "balanced"


def test_large_models_learn_at_half_the_rate() -> None:
    for name, small, large in (("balanced", 2e-4, 1e-4), ("full", 2e-5, 1e-5)):
        rates = [
            apply(Config(), named(name), Subject(size, "sft")).train.learning_rate
            for size in (7_000_000_000, 70_000_000_000)
        ]
        assert rates == [small, large]


def test_preferences_are_learned_at_a_small_rate_whatever_the_preset() -> None:
    assert apply(Config(), named("preferences"), PREFERENCES).train.learning_rate == 5e-6
    assert apply(Config(), named("memory is tight"), PREFERENCES).train.learning_rate == 5e-6
    assert apply(Config(), named("full"), PREFERENCES).train.learning_rate == 5e-7
    small = Subject(135_000_000, "dpo", "preference")
    assert apply(Config(), named("preferences"), small).train.learning_rate == 1e-5


def test_only_the_presets_for_the_rows_are_offered() -> None:
    names = [preset.name for preset in fitting(PREFERENCES)]
    assert names == ["quick look", "memory is tight", "preferences", "full"]
    assert "preferences" not in [preset.name for preset in fitting(CHATS)]
    assert "continued pre-training" not in [preset.name for preset in fitting(CHATS)]
    text = Subject(None, "sft", "text")
    assert "continued pre-training" in [preset.name for preset in fitting(text)]
    assert fitting(presets.UNKNOWN) == list(PRESETS)


def test_tight_memory_keeps_the_rows_of_an_optimizer_step() -> None:
    config = Config(train=Train(per_device_train_batch_size=8, gradient_accumulation_steps=2))
    train = apply(config, named("memory is tight"), CHATS).train
    assert (train.per_device_train_batch_size, train.gradient_accumulation_steps) == (1, 16)
    # kto compares the rows of a batch, so it needs two
    kto = apply(config, named("memory is tight"), Subject(None, "kto", "kto")).train
    assert (kto.per_device_train_batch_size, kto.gradient_accumulation_steps) == (2, 8)
